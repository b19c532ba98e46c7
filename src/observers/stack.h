/* SPDX-License-Identifier: MIT */
/*
 * The call stack of an allocation: return addresses, the innermost first, without
 * molehill's own frames and this object's.
 */
#pragma once

#include "base/attr.h"

enum { STACK_MOST = 24 };

struct stack {
    size_t depth;
    void *frame[STACK_MOST];
};

/*
 * Before the first one: the unwinder sets itself up, and molehill's objects are found.
 */
void stack_prepare(void);

/* Take the caller's stack, so many frames at most. Takes no lock, allocates nothing. */
void stack_take(struct stack *stack, size_t most);
