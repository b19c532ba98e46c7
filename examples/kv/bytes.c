/* SPDX-License-Identifier: MIT */
#include "bytes.h"

bool kv_bytes_to_number(struct kv_bytes text, int64_t *number)
{
    bool is_negative = text.size > 0 && text.data[0] == '-';
    size_t first = is_negative ? 1 : 0;
    if (first == text.size)
        return false;

    /* Counted downwards: the most negative number has no positive twin. */
    int64_t value = 0;
    for (size_t i = first; i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_sub_overflow(value, text.data[i] - '0', &value))
            return false;
    }
    if (!is_negative && __builtin_sub_overflow(0, value, &value))
        return false;
    *number = value;
    return true;
}

size_t kv_bytes_from_number(int64_t number, char text[KV_NUMBER_TEXT])
{
    char reversed[KV_NUMBER_TEXT];
    uint64_t rest = number < 0 ? -(uint64_t)number : (uint64_t)number;
    size_t digits = 0;
    do {
        reversed[digits++] = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest != 0);

    size_t size = 0;
    if (number < 0)
        text[size++] = '-';
    while (digits > 0)
        text[size++] = reversed[--digits];
    return size;
}
