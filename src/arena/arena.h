/* SPDX-License-Identifier: MIT */
/*
 * An arena: the runs of one heap and the lock that serializes their supply. Thread caches
 * come here when they have no page left; a heap made with HEAP_NO_SERIALIZE uses the same
 * functions without the lock.
 */
#pragma once

#include "arena/pool.h"
#include "os/thread.h"

struct mole_arena {
    struct mole_lock lock;
    uintptr_t holder;   /* under lock: mole_thread_self of who has it; 0: nobody */
    bool is_locked;     /* const for the heap record's whole life */
    bool is_executable; /* const while the heap lives: so is all its memory */
    bool has_grown;     /* under lock: it has, or had, more than its first run */

    /*
     * keeps_a: caches of the heap may keep free spans (tcache/large_cache.h).
     *   writers  create clears it; who is the first to keep one sets it
     *   readers  who looks for them
     *   orders   relaxed: a hint
     *   keeps    true from the first span kept on while the heap lives
     */
    _Atomic(bool) keeps_a;

    struct mole_run *runs; /* under lock: linked by next and prev */
};

/* Once for each heap record: all heaps it is used for have the lock, or none has. */
void mole_arena_init(struct mole_arena *arena, bool is_locked);

/* Take and release the lock, if the arena uses it. */
void mole_arena_enter(struct mole_arena *arena);
void mole_arena_leave(struct mole_arena *arena);

/* Take it if nobody has it: no waiting. */
bool mole_arena_try(struct mole_arena *arena) mole_must_check;

/*
 * A run of at least `chunks` chunks for the arena's heap, or NULL. `is_cut`: one chunk
 * that a cache will cut in pages; all of them are free.
 */
struct mole_run *mole_arena_take(struct mole_arena *arena, struct mole_pool_slots *slots,
                                 size_t chunks, bool is_cut) mole_must_check;

/*
 * A run from the pool that may be executed if the arena's may; and back. The pool's own
 * never may. `slots` as for mole_pool_take.
 */
struct mole_run *mole_arena_fetch(struct mole_arena *arena, struct mole_pool_slots *slots,
                                  size_t chunks) mole_must_check;
void mole_arena_return(struct mole_arena *arena, struct mole_pool_slots *slots,
                       struct mole_run *run);

/* Take a run off the arena's list. The lock is held. */
void mole_arena_unlink(struct mole_arena *arena, struct mole_run *run);

/* Give one run back. Nothing in it is mapped any more. */
void mole_arena_give(struct mole_arena *arena, struct mole_pool_slots *slots,
                     struct mole_run *run);

/*
 * Have memory of `bytes` ready for a new arena, as a hint, up to 16 MiB: its first run
 * and, in the pool, others of one chunk, for slabs are made of these.
 */
void mole_arena_commit(struct mole_arena *arena, struct mole_pool_slots *slots,
                       size_t bytes);

/* Give all runs back: O(spans). The heap is dead, its client keeps other threads out. */
void mole_arena_give_all(struct mole_arena *arena, struct mole_pool_slots *slots);

/* In a fork's child: nobody holds the lock any more, and the list may be half linked. */
void mole_arena_repair(struct mole_arena *arena);

/* Times an arena was asked for a run, since the start. */
uint64_t mole_arena_refills(void);
