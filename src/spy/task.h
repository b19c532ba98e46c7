/* SPDX-License-Identifier: MIT */
/*
 * The task allocator's operations with a spy between client and blocks: which of its
 * methods are called when, with what, and what becomes of their answers.
 *
 * U is the pointer the client has, A the block. A record {U, A} is what makes fSpyed TRUE
 * for U. It stays until the spy has translated U, is in the thread's hand while A is
 * freed or moved, since its memory may be another thread's block at once, and is dropped
 * or put back after that.
 */
#pragma once

#include "base/attr.h"

/* The operations themselves, by IMalloc's rules. */
struct mole_task_base {
    void *(*alloc)(size_t bytes);
    void *(*resize)(void *block, size_t bytes);
    void (*free)(void *block);
    size_t (*size)(const void *block);
    int (*knows)(const void *block);
    void (*minimize)(void);
};

/* What IMalloc's methods return. Without a spy, the base's. */
void *mole_task_alloc(const struct mole_task_base *base, size_t bytes);
void *mole_task_resize(const struct mole_task_base *base, void *client, size_t bytes);
void mole_task_free(const struct mole_task_base *base, void *client);
size_t mole_task_size(const struct mole_task_base *base, void *client);
int mole_task_knows(const struct mole_task_base *base, void *client);
void mole_task_minimize(const struct mole_task_base *base);
