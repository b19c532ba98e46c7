/* SPDX-License-Identifier: MIT */
/*
 * A view of bytes that somebody else owns, and the decimal numbers the protocol is full
 * of.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct kv_bytes {
    const char *data;
    size_t size;
};

/* The longest number in text: a minus sign and 19 digits. */
enum { KV_NUMBER_TEXT = 20 };

/* A view of a string literal, or of any string that outlives the view. */
static inline struct kv_bytes kv_bytes_of(const char *text)
{
    return (struct kv_bytes){.data = text, .size = strlen(text)};
}

static inline bool kv_bytes_equal(struct kv_bytes a, struct kv_bytes b)
{
    return a.size == b.size && memcmp(a.data, b.data, a.size) == 0;
}

/* Parse all of `text` as a decimal number: no spaces, no plus sign, no overflow. */
bool kv_bytes_to_number(struct kv_bytes text, int64_t *number);

/* Write `number` as decimal text, without a terminator; the size of the text. */
size_t kv_bytes_from_number(int64_t number, char text[KV_NUMBER_TEXT]);
