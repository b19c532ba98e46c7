/* SPDX-License-Identifier: MIT */
#include "observers/stack.h"

#include <link.h>
#include <string.h>
#include <unwind.h>

/* Code whose frames are left out where a stack begins. */
enum { MOST_RANGES = 8 };

struct range {
    uintptr_t start;
    uintptr_t end;
};

/* const after stack_prepare */
static struct range ranges[MOST_RANGES];
static size_t range_count;

static bool is_own(uintptr_t address)
{
    for (size_t i = 0; i < range_count; i++)
        if (address >= ranges[i].start && address < ranges[i].end)
            return true;
    return false;
}

/* The object's code, if it is molehill's or this one; the program itself never is. */
static int look_at(struct dl_phdr_info *object, size_t size, void *unused)
{
    (void)size;
    (void)unused;
    const char *slash = object->dlpi_name ? strrchr(object->dlpi_name, '/') : NULL;
    bool is_molehill = slash && strncmp(slash, "/libmolehill", 12) == 0;
    for (size_t i = 0; i < object->dlpi_phnum && range_count < MOST_RANGES; i++) {
        const ElfW(Phdr) *segment = &object->dlpi_phdr[i];
        struct range code = {.start = object->dlpi_addr + segment->p_vaddr};
        code.end = code.start + segment->p_memsz;
        bool is_here = (uintptr_t)look_at >= code.start && (uintptr_t)look_at < code.end;
        if (segment->p_type == PT_LOAD && (segment->p_flags & PF_X) &&
            (is_molehill || is_here))
            ranges[range_count++] = code;
    }
    return 0;
}

void stack_prepare(void)
{
    struct stack first;
    range_count = 0;
    (void)dl_iterate_phdr(look_at, NULL);
    stack_take(&first, STACK_MOST);
}

struct walk {
    struct stack *stack;
    size_t most;
};

static _Unwind_Reason_Code step(struct _Unwind_Context *context, void *argument)
{
    struct walk *walk = argument;
    struct stack *stack = walk->stack;
    uintptr_t address = _Unwind_GetIP(context);
    if (stack->depth == walk->most || !address)
        return _URC_END_OF_STACK;
    if (stack->depth == 0 && is_own(address - 1))
        return _URC_NO_REASON;
    stack->frame[stack->depth++] = (void *)address;
    return _URC_NO_REASON;
}

void stack_take(struct stack *stack, size_t most)
{
    struct walk walk = {.stack = stack, .most = most};
    stack->depth = 0;
    (void)_Unwind_Backtrace(step, &walk);
}
