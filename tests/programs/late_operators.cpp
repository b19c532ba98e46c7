// SPDX-License-Identifier: MIT
// A library of C++ that a program of C opens: its operators are those of the preloaded
// library, which did not know libstdc++ when it was loaded.
#include <cstddef>
#include <cstdint>
#include <new>

namespace {

volatile std::size_t absurd = PTRDIFF_MAX - 4096;
int handler_calls;

bool throws_bad_alloc()
{
    try {
        ::operator delete(::operator new(absurd));
    } catch (const std::bad_alloc &) {
        return true;
    }
    return false;
}

void give_up()
{
    handler_calls++;
    throw std::bad_alloc();
}

} // namespace

extern "C" __attribute__((visibility("default"))) int try_operators()
{
    bool is_right = throws_bad_alloc() && !::operator new(absurd, std::nothrow);
    std::set_new_handler(give_up);
    is_right = is_right && throws_bad_alloc() && handler_calls == 1;
    is_right = is_right && !::operator new[](absurd, std::nothrow) && handler_calls == 2;
    is_right = is_right && !::operator new (absurd, std::align_val_t{64}, std::nothrow) &&
               handler_calls == 3;
    std::set_new_handler(nullptr);
    auto *block = new char[1000];
    delete[] block;
    return is_right ? 0 : 1;
}
