// SPDX-License-Identifier: MIT
// Every form of operator new and delete, the new_handler, bad_alloc; run with the library
// preloaded and without. Prints what happened, which must be the same.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <map>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace {

const std::size_t too_much = PTRDIFF_MAX;
// The compiler may leave out an allocation whose size it knows to be absurd.
volatile std::size_t absurd = too_much - 4096;
volatile std::size_t odd_alignment = 24;
int handler_calls;

struct alignas(256) aligned {
    char bytes[300];
};

struct plain {
    char bytes[40];
    ~plain()
    {
        bytes[0] = 1;
    }
};

void say(const char *what, bool is_right)
{
    std::printf("%s: %s\n", what, is_right ? "yes" : "no");
}

bool is_aligned(const void *block, std::size_t align)
{
    return reinterpret_cast<std::uintptr_t>(block) % align == 0;
}

void all_forms()
{
    const std::align_val_t wide{512};
    for (std::size_t bytes :
         {std::size_t{0}, std::size_t{1}, std::size_t{100}, std::size_t{50000}}) {
        void *blocks[] = {
            ::operator new(bytes),
            ::operator new[](bytes),
            ::operator new(bytes, std::nothrow),
            ::operator new[](bytes, std::nothrow),
            ::operator new(bytes, wide),
            ::operator new[](bytes, wide),
            ::operator new(bytes, wide, std::nothrow),
            ::operator new[](bytes, wide, std::nothrow),
        };
        bool is_right = true;
        for (std::size_t i = 0; i < 8; i++) {
            is_right = is_right && blocks[i] && is_aligned(blocks[i], i < 4 ? 16 : 512);
            if (blocks[i])
                std::memset(blocks[i], 0x5a, bytes);
        }
        say("blocks are there and aligned", is_right);
        ::operator delete(blocks[0]);
        ::operator delete[](blocks[1]);
        ::operator delete(blocks[2], std::nothrow);
        ::operator delete[](blocks[3], std::nothrow);
        ::operator delete(blocks[4], wide);
        ::operator delete[](blocks[5], bytes, wide);
        ::operator delete(blocks[6], wide, std::nothrow);
        ::operator delete[](blocks[7], wide, std::nothrow);
        ::operator delete(::operator new(bytes), bytes);
        ::operator delete[](::operator new[](bytes), bytes);
        ::operator delete(::operator new(bytes, wide), bytes, wide);
    }
}

void expressions()
{
    for (int i = 1; i < 200; i++) {
        auto *one = new aligned;
        auto *many = new aligned[static_cast<std::size_t>(i)];
        auto *others = new plain[static_cast<std::size_t>(i)];
        if (!is_aligned(one, 256) || !is_aligned(many, 256))
            say("aligned", false);
        delete one;
        delete[] many;
        delete[] others;
        delete new (std::nothrow) plain;
    }
    ::operator delete(nullptr);
    ::operator delete[](nullptr);
}

bool throws_bad_alloc()
{
    try {
        ::operator delete(::operator new(absurd));
    } catch (const std::bad_alloc &) {
        return true;
    }
    return false;
}

bool throws_bad_alloc_aligned()
{
    try {
        ::operator delete[](::operator new[](absurd, std::align_val_t{64}),
                            std::align_val_t{64});
    } catch (const std::bad_alloc &) {
        return true;
    }
    return false;
}

// An alignment that is none: no handler is asked.
bool refuses_odd_alignment()
{
    const auto odd = static_cast<std::align_val_t>(odd_alignment);
    try {
        ::operator delete(::operator new(100, odd), odd);
    } catch (const std::bad_alloc &) {
        return !::operator new[](100, odd, std::nothrow);
    }
    return false;
}

void give_up_third_time()
{
    if (++handler_calls == 3)
        std::set_new_handler(nullptr);
}

void throw_bad_alloc()
{
    handler_calls++;
    throw std::bad_alloc();
}

void throw_something()
{
    throw std::runtime_error("from the handler");
}

void handlers()
{
    say("new throws bad_alloc", throws_bad_alloc());
    say("aligned new[] throws bad_alloc", throws_bad_alloc_aligned());
    say("nothrow gives null", ::operator new(absurd, std::nothrow) == nullptr);
    std::set_new_handler(give_up_third_time);
    say("new throws after the handler gave up", throws_bad_alloc());
    say("the handler was called three times", handler_calls == 3);
    handler_calls = 0;
    std::set_new_handler(give_up_third_time);
    say("nothrow gives null then", ::operator new(absurd, std::nothrow) == nullptr);
    say("and called the handler as well", handler_calls == 3);
    handler_calls = 0;
    std::set_new_handler(throw_bad_alloc);
    say("nothrow gives null when the handler throws",
        ::operator new(absurd, std::nothrow) == nullptr);
    say("nothrow new[] too", ::operator new[](absurd, std::nothrow) == nullptr);
    say("and aligned", !::operator new (absurd, std::align_val_t{64}, std::nothrow));
    say("and aligned new[]",
        !::operator new[](absurd, std::align_val_t{64}, std::nothrow));
    say("the handler was called each time", handler_calls == 4);
    say("an odd alignment is refused", refuses_odd_alignment());
    say("and no handler called", handler_calls == 4);
    std::set_new_handler(throw_something);
    try {
        ::operator delete(::operator new(absurd));
        say("the handler's exception comes through", false);
    } catch (const std::runtime_error &error) {
        say("the handler's exception comes through",
            !std::strcmp(error.what(), "from the handler"));
    }
    std::set_new_handler(nullptr);
}

void work(std::size_t *sum)
{
    std::map<std::string, std::vector<std::unique_ptr<std::string>>> table;
    for (int i = 0; i < 4000; i++)
        table["key " + std::to_string(i % 300)].push_back(
            std::make_unique<std::string>(static_cast<std::size_t>(i % 500), 'x'));
    for (const auto &entry : table)
        for (const auto &text : entry.second)
            *sum += text->size() + entry.first.size();
}

} // namespace

int main()
{
    all_forms();
    expressions();
    handlers();
    std::size_t sums[4] = {};
    std::vector<std::thread> threads;
    for (auto &sum : sums)
        threads.emplace_back(work, &sum);
    for (auto &thread : threads)
        thread.join();
    for (auto sum : sums)
        std::printf("%zu\n", sum);
    return 0;
}
