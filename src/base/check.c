/* SPDX-License-Identifier: MIT */
#include "base/check.h"

#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

/* A line being put together on the stack: printf may allocate, this may not. */
struct line {
    char text[256];
    size_t length;
};

static void put_char(struct line *line, char c)
{
    if (line->length < sizeof line->text - 1)
        line->text[line->length++] = c;
}

static void put_string(struct line *line, const char *s)
{
    while (*s)
        put_char(line, *s++);
}

static void put_number(struct line *line, unsigned long value, unsigned base)
{
    char digits[24];
    unsigned count = 0;
    do {
        digits[count++] = "0123456789abcdef"[value % base];
        value /= base;
    } while (value);
    while (count)
        put_char(line, digits[--count]);
}

static void put_argument(struct line *line, char kind, va_list *args)
{
    switch (kind) {
    case 'p':
        put_string(line, "0x");
        put_number(line, (unsigned long)va_arg(*args, void *), 16);
        break;
    case 's':
        put_string(line, va_arg(*args, const char *));
        break;
    default: /* lu */
        put_number(line, va_arg(*args, unsigned long), 10);
        break;
    }
}

static void write_line(const char *format, va_list *args)
{
    struct line line = {.length = 0};
    put_string(&line, "molehill: ");
    for (; *format; format++) {
        if (*format != '%') {
            put_char(&line, *format);
            continue;
        }
        format++;
        put_argument(&line, *format, args);
        if (*format == 'l')
            format++;
    }
    line.text[line.length++] = '\n'; /* put_char leaves room for it */
    ssize_t ignored = write(STDERR_FILENO, line.text, line.length);
    (void)ignored;
}

void mole_die(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    write_line(format, &args);
    va_end(args);
    abort();
}

void mole_warn(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    write_line(format, &args);
    va_end(args);
}
