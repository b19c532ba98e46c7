/* SPDX-License-Identifier: MIT */
/* A spy that stays in its callback until it is let go. */
#pragma once

#include <semaphore.h>
#include <stdatomic.h>

#include "spies.h"

static struct notes notes; /* the spy's */

static sem_t is_inside, may_leave;
static atomic_bool has_left;

static inline void stay_inside(void *context, void *heap, void *block, size_t bytes)
{
    note(context, (struct told){ALLOCATED, heap, block, bytes, NULL, 0});
    sem_post(&is_inside);
    while (sem_wait(&may_leave) != 0) {
    }
    atomic_store(&has_left, true);
}

static inline void begin_staying(void *heap)
{
    sem_init(&is_inside, 0, 0);
    sem_init(&may_leave, 0, 0);
    notes_init(&notes);
    notes.spy.allocated = stay_inside;
    attach(&notes.spy, heap);
}
