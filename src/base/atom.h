/* SPDX-License-Identifier: MIT */
/*
 * Atomic accesses whose names carry the memory order. Everything shared goes through
 * here; an access to an `_a` field that does not is an error (-Watomic-implicit-seq-cst
 * under clang).
 */
#pragma once

#include <stdatomic.h>

#define load_rlx(p) atomic_load_explicit((p), memory_order_relaxed)
#define load_acq(p) atomic_load_explicit((p), memory_order_acquire)
/*
 * Relaxed accesses that the compiler may fold into the instruction that uses the value:
 * gcc never folds an atomic one, which costs the fast paths one instruction in six. Only
 * there and in look-ups of the span map, where a fence_compiler() or a dependency keeps
 * the order, and on aligned words; the sanitizers see plain relaxed accesses.
 */
#if defined(__SANITIZE_THREAD__) || defined(__clang__) || !defined(__x86_64__)
#define load_rlx_folded(p) load_rlx(p)
#define load_acq_folded(p) load_acq(p)
#define store_rlx_folded(p, v) store_rlx(p, v)
#define store_rlx_ones(p) store_rlx(p, 0xffff)
#else
#define load_rlx_folded(p) (*(const __typeof__(((void)0, *(p))) *)(p))
#define load_acq_folded(p) load_rlx_folded(p) /* x86: every load acquires */
#define store_rlx_folded(p, v) ((void)(*(__typeof__(((void)0, *(p))) *)(p) = (v)))
#define store_rlx_ones(p) /* 16 bits: gcc would put them into a register first */ \
    __asm__("movw $-1, %0" : "=m"(*(__typeof__(((void)0, *(p))) *)(p)))
#endif

#define store_rlx(p, v) atomic_store_explicit((p), (v), memory_order_relaxed)
#define store_rel(p, v) atomic_store_explicit((p), (v), memory_order_release)

#define swap_acq(p, v) atomic_exchange_explicit((p), (v), memory_order_acquire)
#define swap_acq_rel(p, v) atomic_exchange_explicit((p), (v), memory_order_acq_rel)

#define add_rlx(p, v) atomic_fetch_add_explicit((p), (v), memory_order_relaxed)
#define add_rel(p, v) atomic_fetch_add_explicit((p), (v), memory_order_release)
#define add_seq_cst(p, v) atomic_fetch_add_explicit((p), (v), memory_order_seq_cst)
#define sub_rel(p, v) atomic_fetch_sub_explicit((p), (v), memory_order_release)
#define sub_rlx(p, v) atomic_fetch_sub_explicit((p), (v), memory_order_relaxed)
#define or_rlx(p, v) atomic_fetch_or_explicit((p), (v), memory_order_relaxed)
#define and_rlx(p, v) atomic_fetch_and_explicit((p), (v), memory_order_relaxed)

/* Weak compare-and-swaps belong in loops; the failure order is always relaxed. */
#define cas_weak_rlx(p, old, v)                                                  \
    atomic_compare_exchange_weak_explicit((p), (old), (v), memory_order_relaxed, \
                                          memory_order_relaxed)
#define cas_weak_rel(p, old, v)                                                  \
    atomic_compare_exchange_weak_explicit((p), (old), (v), memory_order_release, \
                                          memory_order_relaxed)
#define cas_weak_acq_rel(p, old, v)                                              \
    atomic_compare_exchange_weak_explicit((p), (old), (v), memory_order_acq_rel, \
                                          memory_order_acquire)
#define cas_rlx(p, old, v)                                                         \
    atomic_compare_exchange_strong_explicit((p), (old), (v), memory_order_relaxed, \
                                            memory_order_relaxed)
#define cas_acq(p, old, v)                                                         \
    atomic_compare_exchange_strong_explicit((p), (old), (v), memory_order_acquire, \
                                            memory_order_relaxed)
#define cas_rel(p, old, v)                                                         \
    atomic_compare_exchange_strong_explicit((p), (old), (v), memory_order_release, \
                                            memory_order_relaxed)
#define cas_acq_rel(p, old, v)                                                     \
    atomic_compare_exchange_strong_explicit((p), (old), (v), memory_order_acq_rel, \
                                            memory_order_acquire)

#define fence_acq() atomic_thread_fence(memory_order_acquire)
#define fence_seq_cst() atomic_thread_fence(memory_order_seq_cst)

/* Keeps the compiler, not the processor, from moving accesses across. */
#define fence_compiler() atomic_signal_fence(memory_order_seq_cst)
