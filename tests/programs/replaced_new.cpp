// SPDX-License-Identifier: MIT
// A program that replaces operator new and operator delete, and nothing else: all other
// forms go through these. Its blocks have a head, so that nobody else can free them.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <new>
#include <string>
#include <vector>

namespace {

constexpr std::size_t head = 64;
constexpr std::size_t mark = 0x6d6f6c65;
std::size_t taken, given;
volatile std::size_t absurd = PTRDIFF_MAX - 4096;

struct wide {
    char bytes[100];
    ~wide()
    {
        bytes[0] = 1;
    }
};

} // namespace

[[gnu::noinline]] void *operator new(std::size_t bytes)
{
    if (bytes > PTRDIFF_MAX / 2)
        throw std::bad_alloc();
    auto *start = static_cast<std::size_t *>(std::malloc(bytes + head));
    if (!start)
        throw std::bad_alloc();
    *start = mark;
    taken++;
    return reinterpret_cast<char *>(start) + head;
}

[[gnu::noinline]] void operator delete(void *block) noexcept
{
    if (!block)
        return;
    auto *start = reinterpret_cast<std::size_t *>(static_cast<char *>(block) - head);
    if (*start != mark) {
        std::puts("not a block of operator new");
        std::abort();
    }
    *start = 0;
    given++;
    std::free(start);
}

namespace {

void forms()
{
    for (std::size_t bytes : {std::size_t{0}, std::size_t{100}, std::size_t{100000}}) {
        ::operator delete(::operator new(bytes));
        ::operator delete(::operator new(bytes), bytes);
        ::operator delete(::operator new(bytes), std::nothrow);
        ::operator delete(::operator new(bytes, std::nothrow));
        ::operator delete[](::operator new[](bytes));
        ::operator delete[](::operator new[](bytes), bytes);
        ::operator delete[](::operator new[](bytes), std::nothrow);
        ::operator delete[](::operator new[](bytes, std::nothrow));
    }
    // Aligned ones are others: operator new does not know of them.
    const std::align_val_t align{128};
    ::operator delete(::operator new(100, align), align);
    ::operator delete[](::operator new[](100, align), 100, align);
    ::operator delete(::operator new(100, align, std::nothrow), align, std::nothrow);
}

void expressions()
{
    std::vector<std::string> texts;
    for (std::size_t i = 0; i < 200; i++) {
        texts.emplace_back(i, 'x');
        delete new wide;
        delete[] new wide[i % 5 + 1];
        delete new (std::nothrow) wide;
        delete[] new (std::nothrow) wide[i % 5 + 1];
    }
}

} // namespace

int main()
{
    forms();
    std::printf("forms: %zu taken, %zu given\n", taken, given);
    expressions();
    std::printf("expressions: %zu taken, %zu given\n", taken, given);
    std::printf("too much: %p %p\n", ::operator new(absurd, std::nothrow),
                ::operator new[](absurd, std::nothrow));
    return 0;
}
