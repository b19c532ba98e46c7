/* SPDX-License-Identifier: MIT */
/*
 * What a program of the oracle says: a line for each call. The same program runs on
 * Windows' functions as Wine has them and on molehill's; tools/oracle.py compares the two
 * reports line by line. A line holds no address, and nothing that a heap may do as it
 * likes.
 *
 *   number, call, class of the input, arguments, outcome      separated by tabs
 *
 * The class is what differences.toml knows an input by.
 */
#pragma once

#include <windows.h>

#include <objbase.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SENTINEL = 0x0BADBEEF };

static unsigned long long lines;
static DWORD error_now; /* what the last CALL left */

/* One call, between the sentinel and a look at the last error. */
#define CALL(...)                   \
    do {                            \
        SetLastError(SENTINEL);     \
        __VA_ARGS__;                \
        error_now = GetLastError(); \
    } while (0)

/* A text that lives until eight others were made. */
__attribute__((format(printf, 1, 2), unused)) static const char *text(const char *format,
                                                                      ...)
{
    static char texts[8][240];
    static unsigned next;
    char *buffer = texts[next++ % 8];
    va_list args;
    va_start(args, format);
    vsnprintf(buffer, sizeof texts[0], format, args);
    va_end(args);
    return buffer;
}

/* An outcome that has no error. */
__attribute__((format(printf, 4, 5), unused)) static void
tell(const char *call, const char *input, const char *arguments, const char *outcome, ...)
{
    va_list args;
    va_start(args, outcome);
    printf("%llu\t%s\t%s\t%s\t", ++lines, call, input, arguments);
    vprintf(outcome, args);
    putchar('\n');
    va_end(args);
}

/* The outcome of the last CALL, with the error it left. */
__attribute__((format(printf, 4, 5), unused)) static void answer(const char *call,
                                                                 const char *input,
                                                                 const char *arguments,
                                                                 const char *outcome, ...)
{
    va_list args;
    va_start(args, outcome);
    printf("%llu\t%s\t%s\t%s\t", ++lines, call, input, arguments);
    vprintf(outcome, args);
    if (error_now == SENTINEL)
        puts("; error kept");
    else
        printf("; error %lu\n", (unsigned long)error_now);
    va_end(args);
}

__attribute__((unused)) static const char *truth(BOOL value)
{
    return value ? "TRUE" : "FALSE";
}

__attribute__((unused)) static const char *block_or_null(const void *block)
{
    return block ? "block" : "NULL";
}

__attribute__((unused)) static const char *heap_or_null(HANDLE heap)
{
    return heap ? "heap" : "NULL";
}

/* (SIZE_T)-1 is a failure. */
__attribute__((unused)) static const char *size_or_failure(SIZE_T bytes)
{
    return bytes == (SIZE_T)-1 ? "-1" : text("%llu", (unsigned long long)bytes);
}

/* HRESULTs are compared as they are. */
__attribute__((unused)) static const char *hresult(HRESULT result)
{
    return text("%08lx", (unsigned long)(DWORD)result);
}

/*
 * Contents. Each byte has its top bit set: none of them can be taken for the bookkeeping
 * that another allocator keeps in front of a block.
 */
__attribute__((unused)) static void fill(void *block, SIZE_T bytes, uint64_t seed)
{
    unsigned char *at = block;
    uint64_t word = seed * 0x9E3779B97F4A7C15u;
    for (; bytes >= sizeof word; bytes -= sizeof word, at += sizeof word) {
        word = word * 0x5851F42D4C957F2Du + 0x14057B7EF767814Fu;
        uint64_t marked = word | 0x8080808080808080u;
        memcpy(at, &marked, sizeof marked);
    }
    for (; bytes > 0; bytes--)
        *at++ = (unsigned char)(0x80 | bytes | seed);
}

__attribute__((unused)) static uint64_t hash(const void *block, SIZE_T bytes)
{
    const unsigned char *at = block;
    uint64_t sum = bytes;
    for (; bytes >= sizeof sum; bytes -= sizeof sum, at += sizeof sum) {
        uint64_t word;
        memcpy(&word, at, sizeof word);
        sum = (sum ^ word) * 0x9E3779B97F4A7C15u;
        sum ^= sum >> 29;
    }
    for (; bytes > 0; bytes--)
        sum = (sum ^ *at++) * 0x100000001B3u;
    return sum;
}

__attribute__((unused)) static const char *zeros_or_not(const void *block, SIZE_T bytes)
{
    const unsigned char *at = block;
    for (SIZE_T i = 0; i < bytes; i++)
        if (at[i] != 0)
            return text("byte %llu is not zero", (unsigned long long)i);
    return "zeros";
}

__attribute__((unused)) static const char *contents(const void *block, SIZE_T bytes)
{
    return text("%016llx", (unsigned long long)hash(block, bytes));
}

/* Large reports are written in large pieces. The last line says that it is whole. */
__attribute__((unused)) static void begin_report(void)
{
    static char buffer[1 << 16];
    setvbuf(stdout, buffer, _IOFBF, sizeof buffer);
}

__attribute__((unused)) static int end_report(void)
{
    printf("end\t%llu\n", lines);
    return fflush(stdout) != 0;
}
