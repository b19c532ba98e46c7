/* SPDX-License-Identifier: MIT */
/*
 * Pages from the kernel. Every system call molehill makes for memory is in pages.c; each
 * of them, and the start of a thread, can be made to fail in test builds
 * (mole_pages_inject). errno is never changed by these functions.
 */
#pragma once

#include "base/attr.h"

/*
 * Reserve `bytes` of address space without access, aligned to `align` (a power of two).
 * What is next to it on either side is reserved too and never usable: nothing written
 * beyond its ends reaches another mapping. Returns NULL when the kernel refuses.
 */
void *mole_pages_reserve(size_t bytes, size_t align) mole_must_check;

/* Make reserved pages readable and writable; they read as zero. False when refused. */
bool mole_pages_commit(void *start, size_t bytes) mole_must_check;

/* Let committed pages be executed too, or not any more. False when refused. */
bool mole_pages_set_executable(void *start, size_t bytes, bool on) mole_must_check;

/* Whether the system forbids this process to have such pages, not only to have more. */
bool mole_pages_denies_execution(void);

/*
 * Drop the contents of committed pages: they stay usable and read as zero. False: kept,
 * also when they are no whole pages of the system's, which may be larger than MOLE_PAGE.
 */
bool mole_pages_purge(void *start, size_t bytes);

/*
 * Have committed pages resident, the first 16 MiB of them, as a hint: without effect
 * where the kernel has no such call or no memory for it. What they hold stays.
 */
void mole_pages_populate(void *start, size_t bytes);

enum mole_pages_moved {
    MOLE_PAGES_MOVED, /* the old range stays mapped and reads as zero */
    MOLE_PAGES_STAY,  /* nothing moved; the target is usable, with whatever contents */
    MOLE_PAGES_LOST,  /* nothing moved, and the target is not ours any more */
};

/*
 * Move the contents of committed pages to another committed range without copying. The
 * kernel unmaps the target before it finds out that it cannot; STAY and LOST are what is
 * left then.
 */
enum mole_pages_moved mole_pages_move(void *from, void *to, size_t bytes) mole_must_check;

/*
 * Whether pages of the reservation that get resident from now on may be huge, as a hint:
 * without effect where the kernel has none. At first they may not, whatever the system
 * sets for programs that say nothing.
 */
void mole_pages_set_huge(void *start, size_t bytes, bool on);

/* Give a whole reservation back. */
void mole_pages_release(void *start, size_t bytes);

/*
 * The most address space a reservation should ask for: half of RLIMIT_AS, if there is
 * one.
 */
size_t mole_pages_address_limit(void);

/*
 * Test builds (MOLE_TESTING): let the `nth` call from now on fail, 1 being the next; and
 * all later ones too when `forever`. 0 switches injection off. Returns the calls made
 * since the last mole_pages_inject.
 */
unsigned long mole_pages_inject(unsigned long nth, bool forever);

/* Moves that ended in MOLE_PAGES_LOST. */
unsigned long mole_pages_lost(void);

/*
 * Whether a system call, which is counted by this, is to fail; for those that thread.c
 * makes.
 */
bool mole_pages_is_to_fail(void);
