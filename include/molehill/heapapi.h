/* SPDX-License-Identifier: MIT */
/*
 * The Win32 Heap API. Names, types and constants are spelled exactly as Windows programs
 * spell them; each name is bound to a symbol prefixed mh_ (HeapAlloc is the symbol
 * mh_HeapAlloc), so that linking molehill never clashes with another library that exports
 * the bare names.
 *
 * What holds for every function:
 *   handles    A bad heap handle is NULL, a destroyed heap, or any other value that is no
 *              live heap. It is detected without being dereferenced.
 *   blocks     A foreign pointer is whatever is not the start of a live block of exactly
 *              that heap. It is refused, never followed. Two threads that race to free
 *              one block are the caller's error, and so is use of a heap while another
 *              thread destroys it.
 *   errors     Success leaves the thread's last error and errno as they were. A failing
 *              call sets errno the POSIX way. By default a failing HeapAlloc, HeapReAlloc
 *              or HeapSize keeps the last error, as their documents say; with
 *              `compat:windows` in MOLEHILL_CONF they set it as 64-bit Windows does, and
 *              every error code is mirrored into errno. HeapValidate touches neither.
 *   threads    Any thread may call any function on any heap at any time. The exception is
 *              a heap created with HEAP_NO_SERIALIZE: the caller lets one thread at a
 *              time use it. HEAP_NO_SERIALIZE on a single call is always safe.
 *   progress   A "lock-free fast path" takes no lock and waits for nobody: a thread
 *              stopped anywhere in one keeps no other thread from finishing its own.
 *   signals    Not async-signal-safe.
 *
 * "spec" below is the project's description of the behaviour; numbers are its sections.
 */
#pragma once

#include "heapinfo.h"
#include "molehill.h"
#include "wintypes.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What HeapSummary reports. All sizes in bytes. */
typedef struct _HEAP_SUMMARY {
    DWORD cb;            /* set by the caller: sizeof(HEAP_SUMMARY) */
    SIZE_T cbAllocated;  /* requested sizes of the live blocks, added up */
    SIZE_T cbCommitted;  /* pages of its slabs and large blocks */
    SIZE_T cbReserved;   /* address space it holds, committed or not */
    SIZE_T cbMaxReserve; /* for a growable heap, cbReserved */
} HEAP_SUMMARY, *PHEAP_SUMMARY, *LPHEAP_SUMMARY;

static_assert(sizeof(void *) != 8 || sizeof(HEAP_SUMMARY) == 40,
              "callers state this size in cb");

/*
 * What HeapWalk reports. The sizes have 32 bits, as on Windows; what needs more is said
 * to be 0xFFFFFFFF.
 */
typedef struct _PROCESS_HEAP_ENTRY {
    PVOID lpData;      /* the entry's start; NULL begins a walk */
    DWORD cbData;      /* of a live block what was requested, else bytes */
    BYTE cbOverhead;   /* 0: bookkeeping lies elsewhere */
    BYTE iRegionIndex; /* 0; 64: a large block, which has its pages for itself */
    WORD wFlags;       /* 0: free blocks side by side; or one of the flags below */
    __extension__ union {
        struct {
            HANDLE hMem; /* NULL: blocks do not move */
            DWORD dwReserved[3];
        } Block;
        struct {
            DWORD dwCommittedSize;   /* of all small blocks: pages in use for them */
            DWORD dwUnCommittedSize; /* and others that the heap has for more */
            LPVOID lpFirstBlock;     /* all entries but large blocks lie from here ... */
            LPVOID lpLastBlock;      /* ... up to here */
        } Region;
    };
} PROCESS_HEAP_ENTRY, *PPROCESS_HEAP_ENTRY, *LPPROCESS_HEAP_ENTRY;

#define PROCESS_HEAP_REGION 0x0001            /* the heap's own page, always first */
#define PROCESS_HEAP_UNCOMMITTED_RANGE 0x0002 /* pages that hold no blocks yet */
#define PROCESS_HEAP_ENTRY_BUSY 0x0004        /* a live block */
#define PROCESS_HEAP_SEG_ALLOC 0x0008         /* this and the next two: never set */
#define PROCESS_HEAP_ENTRY_MOVEABLE 0x0010
#define PROCESS_HEAP_ENTRY_DDESHARE 0x0020

static_assert(sizeof(void *) != 8 || sizeof(PROCESS_HEAP_ENTRY) == 40,
              "callers read and write this structure");

/*
 * Create a private heap.
 *
 *   flOptions      HEAP_NO_SERIALIZE: the heap takes no lock in any operation and the
 *                  caller excludes other threads. HEAP_CREATE_ENABLE_EXECUTE: all of its
 *                  memory may be executed. HEAP_TAIL_CHECKING_ENABLED,
 *                  HEAP_FREE_CHECKING_ENABLED: what is behind blocks, and in freed ones,
 *                  is watched (C-5: Windows ignores both here). HEAP_CREATE_HARDENED:
 *                  blocks have canaries, and misuse that is found ends the process; the
 *                  heap serves many threads as any other (C-20).
 *                  HEAP_GENERATE_EXCEPTIONS: HeapAlloc and HeapReAlloc raise an exception
 *                  where they would return NULL (exception.h); HeapCreate itself does
 *                  not. HEAP_GROWABLE,
 *                  HEAP_ZERO_MEMORY, HEAP_DISABLE_COALESCE_ON_FREE,
 *                  HEAP_CREATE_SEGMENT_HEAP, HEAP_CREATE_ALIGN_16 and
 *                  HEAP_CREATE_ENABLE_TRACING change nothing; unknown bits are ignored.
 *   dwInitialSize  bytes, rounded up to pages, 0 is one: reported as committed, and the
 *                  first 16 MiB of them made resident, as a hint
 *   dwMaximumSize  0, for a heap that grows as far as memory goes; else bytes, rounded up
 *                  to pages and at least dwInitialSize, of a heap of a fixed size. 0x800
 *                  of them are not had by blocks, and a block has less than 0x7FFF8, or
 *                  0xFFFF0 under compat:windows (C-7, C-9).
 *   returns        a handle, unique and a multiple of 64 KiB, which the caller ends with
 *                  HeapDestroy; or NULL
 *   errors         ERROR_NOT_ENOUGH_MEMORY: no memory, or sizes that cannot be had;
 *                  ERROR_ACCESS_DENIED: the system denies memory that may be executed
 *   threads        any
 *   progress       lock-free, but for the system's memory calls
 *   spec           2.1, 2.12
 */
MH_API HANDLE WINAPI HeapCreate(DWORD flOptions, SIZE_T dwInitialSize,
                                SIZE_T dwMaximumSize) MH_WIN32_SYMBOL(HeapCreate);

/*
 * Release a private heap with everything that is in it. Its blocks need not be freed
 * first; the cost grows with the heap's memory, not with the number of its blocks.
 *
 *   hHeap     the heap; afterwards the handle is bad
 *   returns   TRUE, or FALSE for the process heap (which stays as it was) and for a bad
 *             handle
 *   errors    ERROR_INVALID_HANDLE
 *   threads   any, but no other thread may be using the heap
 *   progress  takes the heap's own lock, for which it may wait while a thread that used
 *             the heap ends, or somebody adds the heap up
 *   spec      2.2
 */
MH_API BOOL WINAPI HeapDestroy(HANDLE hHeap) MH_WIN32_SYMBOL(HeapDestroy);

/*
 * Allocate a block.
 *
 *   hHeap     the heap
 *   dwFlags   HEAP_ZERO_MEMORY: all requested bytes are 0, else they are undefined.
 *             HEAP_NO_SERIALIZE: do not wait for a thread that holds the whole heap.
 *             HEAP_GENERATE_EXCEPTIONS: raise an exception rather than return NULL
 *             (exception.h). Other bits are ignored.
 *   dwBytes   how many; 0 gives a block of its own like any other
 *   returns   a block of exactly dwBytes, its address a multiple of
 *             MEMORY_ALLOCATION_ALIGNMENT, which the caller ends with HeapFree; or NULL
 *   errors    last error kept, errno ENOMEM or EINVAL; under compat:windows
 *             ERROR_NOT_ENOUGH_MEMORY or ERROR_INVALID_HANDLE, in errno too
 *   threads   any
 *   progress  fast path without lock or wait; a refill and a large block take the
 *             arena's lock and may wait for it, and may ask the system
 *   spec      2.3
 */
MH_API LPVOID WINAPI HeapAlloc(HANDLE hHeap, DWORD dwFlags, SIZE_T dwBytes)
    MH_WIN32_SYMBOL(HeapAlloc);

/*
 * Change the size of a block. The contents are kept up to the smaller of the two sizes.
 * When it fails, the old block is left as it was: valid, same size, same contents.
 *
 *   hHeap     the heap that lpMem was allocated from
 *   dwFlags   HEAP_ZERO_MEMORY: bytes from the old requested size up to the new one are
 *             0. HEAP_REALLOC_IN_PLACE_ONLY: fail rather than move; making smaller never
 *             fails. HEAP_NO_SERIALIZE: do not wait for a thread that holds the whole
 *             heap. HEAP_GENERATE_EXCEPTIONS: raise an exception rather than return NULL
 *             (exception.h). Other bits are ignored.
 *   lpMem     a live block. NULL is an error here, not an allocation. In a heap with
 *             tails a block with a damaged one is refused as a foreign pointer; under
 *             compat:windows, if the tails are there by global_flag, only with its 0x40.
 *   dwBytes   the new size; 0 gives a block of size 0, it does not free
 *   returns   the block, moved or not, or NULL
 *   errors    lpMem NULL: the last error becomes ERROR_SUCCESS in both modes, errno
 *             EINVAL, or under compat:windows 0. Else last error kept, errno ENOMEM or
 *             EINVAL; under compat:windows ERROR_NOT_ENOUGH_MEMORY,
 *             ERROR_INVALID_PARAMETER (foreign pointer) or ERROR_INVALID_HANDLE, in errno
 *             too
 *   threads   any
 *   progress  lock-free while the block stays in its size class; else as HeapAlloc and
 *             HeapFree
 *   spec      2.4
 */
MH_API LPVOID WINAPI HeapReAlloc(HANDLE hHeap, DWORD dwFlags, LPVOID lpMem,
                                 SIZE_T dwBytes) MH_WIN32_SYMBOL(HeapReAlloc);

/*
 * Free a block. Any thread may free what another allocated.
 *
 *   hHeap     the heap that lpMem was allocated from
 *   dwFlags   HEAP_NO_SERIALIZE: do not wait for a thread that holds the whole heap.
 *             Other bits are ignored.
 *   lpMem     a live block; NULL does nothing and succeeds, even with a bad heap handle.
 *             With 0x40 in global_flag a damaged tail makes a block a foreign pointer.
 *   returns   TRUE, or FALSE when nothing was freed
 *   errors    ERROR_INVALID_PARAMETER for a foreign pointer (a block freed before
 *             included), ERROR_INVALID_HANDLE; errno EINVAL, or under compat:windows the
 *             same codes
 *   threads   any
 *   progress  fast path without lock or wait; another thread's block and handing its
 *             batch over are lock-free; only giving back an emptied slab or a large block
 *             takes the arena's lock
 *   spec      2.5
 */
MH_API BOOL WINAPI HeapFree(HANDLE hHeap, DWORD dwFlags, LPVOID lpMem)
    MH_WIN32_SYMBOL(HeapFree);

/*
 * The size of a block, exactly as last requested.
 *
 *   hHeap     the heap that lpMem was allocated from
 *   dwFlags   HEAP_NO_SERIALIZE: do not wait for a thread that holds the whole heap.
 *             Other bits are ignored.
 *   lpMem     a live block. With 0x40 in global_flag a damaged tail makes it a foreign
 *             pointer.
 *   returns   bytes, or (SIZE_T)-1 for NULL, a foreign pointer or a bad handle
 *   errors    last error kept, errno EINVAL; under compat:windows ERROR_INVALID_PARAMETER
 *             or ERROR_INVALID_HANDLE, in errno too
 *   threads   any
 *   progress  wait-free unless another thread has locked the heap
 *   spec      2.6
 */
MH_API SIZE_T WINAPI HeapSize(HANDLE hHeap, DWORD dwFlags, LPCVOID lpMem)
    MH_WIN32_SYMBOL(HeapSize);

/*
 * Tell whether a pointer is the start of a live block of the heap.
 *
 *   hHeap     the heap
 *   dwFlags   HEAP_NO_SERIALIZE: do not wait for a thread that holds the whole heap.
 *             Other bits are ignored.
 *   lpMem     any value; NULL asks about the heap itself: whether all its bookkeeping is
 *             in order, which only wild writes or a mistake of molehill's can disturb,
 *             and in a heap with checks all tails and freed blocks, which any overrun or
 *             late write can
 *   returns   TRUE or FALSE; FALSE for a bad handle, and for a live block with a damaged
 *             tail
 *   errors    none: last error and errno are kept whatever it returns
 *   threads   any
 *   progress  wait-free unless another thread has locked the heap; with NULL as HeapLock,
 *             and all calls on the heap wait while it reads the heap's tables. With NULL
 *             and HEAP_NO_SERIALIZE it takes the arena's lock instead, and looks at less.
 *   spec      2.7
 */
MH_API BOOL WINAPI HeapValidate(HANDLE hHeap, DWORD dwFlags, LPCVOID lpMem)
    MH_WIN32_SYMBOL(HeapValidate);

/*
 * Add up a heap.
 *
 *   hHeap      the heap
 *   dwFlags    0; all bits are ignored
 *   lpSummary  filled in; lpSummary->cb must be sizeof(HEAP_SUMMARY) before the call
 *   returns    TRUE, or FALSE with the structure untouched
 *   errors     ERROR_INVALID_PARAMETER for NULL or another cb, ERROR_INVALID_HANDLE;
 *              errno EINVAL, or under compat:windows the same codes
 *   threads    any; blocks that other threads allocate or free meanwhile count or do not
 *   progress   waits while another thread has locked the heap; then takes the arena's
 *              lock and visits the heap's tables, which takes longer the larger the heap
 *   spec       2.13
 */
MH_API BOOL WINAPI HeapSummary(HANDLE hHeap, DWORD dwFlags, LPHEAP_SUMMARY lpSummary)
    MH_WIN32_SYMBOL(HeapSummary);

/*
 * The heap that belongs to the process: growable, serialised, never destroyed.
 *
 *   returns   its handle, the same always; also before main and in exit handlers. NULL
 *             only while the system has no memory for the first heap.
 *   errors    none
 *   threads   any
 *   progress  wait-free once the heap exists; the first call in the process creates it
 *   spec      2.14
 */
MH_API HANDLE WINAPI GetProcessHeap(void) MH_WIN32_SYMBOL(GetProcessHeap);

/*
 * List the live heaps: the process heap first, then the others in the order of their
 * creation.
 *
 *   NumberOfHeaps  how many handles ProcessHeaps has room for
 *   ProcessHeaps   where to store them; may be NULL when NumberOfHeaps is 0
 *   returns        how many heaps there are. When that is more than NumberOfHeaps, the
 *                  first NumberOfHeaps handles were stored.
 *   errors         ERROR_INVALID_PARAMETER and 0 for NULL with room claimed;
 *                  ERROR_NOT_ENOUGH_MEMORY and 0 when the list cannot be put together
 *   threads        any; the answer may be old when heaps come and go meanwhile
 *   progress       lock-free, but for a block of scratch memory from the process heap
 *   spec           2.14
 */
MH_API DWORD WINAPI GetProcessHeaps(DWORD NumberOfHeaps, PHANDLE ProcessHeaps)
    MH_WIN32_SYMBOL(GetProcessHeaps);

/*
 * Keep every other thread out of a heap: its calls on the heap wait until HeapUnlock,
 * those that are under way end first. Calls with HEAP_NO_SERIALIZE go on. The owner may
 * use the heap, and lock it again, once for each HeapUnlock to come; a thread that ends
 * while it owns a heap leaves it locked. Other threads pay nothing while nobody locks.
 *
 *   hHeap     the heap; nothing happens for one created with HEAP_NO_SERIALIZE
 *   returns   TRUE, or FALSE
 *   errors    ERROR_INVALID_HANDLE; errno EINVAL, or under compat:windows the same code
 *   threads   any
 *   progress  waits for the heap's owner, then for the operations under way
 *   spec      2.9
 */
MH_API BOOL WINAPI HeapLock(HANDLE hHeap) MH_WIN32_SYMBOL(HeapLock);

/*
 * Take one HeapLock back; with the last the heap is open again.
 *
 *   hHeap     as for HeapLock
 *   returns   TRUE, or FALSE: nothing changed
 *   errors    ERROR_NOT_OWNER for a thread that does not own the heap's lock,
 *             ERROR_INVALID_HANDLE; errno as for HeapLock (ERROR_NOT_OWNER: EPERM)
 *   threads   the owner
 *   progress  lock-free
 *   spec      2.9
 */
MH_API BOOL WINAPI HeapUnlock(HANDLE hHeap) MH_WIN32_SYMBOL(HeapUnlock);

/*
 * Go through a heap, entry by entry: the heap's own page (PROCESS_HEAP_REGION), then
 * small blocks, live and free, and unused pages, then large blocks. What the caller holds
 * is all there is of a walk: it may end at any time, and there may be several.
 *
 *   hHeap     the heap
 *   lpEntry   lpData NULL begins, whatever the other fields hold; then as the last call
 *             left it. Only lpData is read.
 *   returns   TRUE with the next entry, or FALSE with the structure untouched
 *   errors    ERROR_NO_MORE_ITEMS at the end, ERROR_INVALID_PARAMETER for NULL and for an
 *             lpData that is no entry, or not any more: what the walk stands on is gone
 *             when it, or all around it, was freed; a live block is always there.
 *             ERROR_INVALID_HANDLE. errno EINVAL, or under compat:windows the same codes
 *   threads   any. Under HeapLock the live blocks shown are exactly those there are.
 *             Without it, blocks that other threads allocate or free meanwhile may be
 *             missed, and the walk may end early.
 *   progress  takes the arena's lock for each entry; waits while another thread has
 *             locked the heap
 *   spec      2.10
 */
MH_API BOOL WINAPI HeapWalk(HANDLE hHeap, LPPROCESS_HEAP_ENTRY lpEntry)
    MH_WIN32_SYMBOL(HeapWalk);

/*
 * Bring a heap's free memory together: blocks on their way between threads go back to
 * where they came from, memory that turns out to be unused goes back to the system.
 * Allocated blocks stay where they are.
 *
 *   hHeap     the heap
 *   dwFlags   HEAP_NO_SERIALIZE: leave alone what other threads have; only tell how much
 *             is free. Other bits are ignored.
 *   returns   bytes of the largest piece that is free, committed or not; or 0. A hint: a
 *             larger block may well be had.
 *   errors    0 with ERROR_SUCCESS: nothing is free; 0 with ERROR_INVALID_HANDLE, errno
 *             EINVAL, or under compat:windows the same code
 *   threads   any
 *   progress  as HeapLock, and all calls on the heap wait while it works on the caches;
 *             then a lock of the process's. Without these for a heap created with
 *             HEAP_NO_SERIALIZE, which gives nothing back to the system.
 *   spec      2.8
 */
MH_API SIZE_T WINAPI HeapCompact(HANDLE hHeap, DWORD dwFlags)
    MH_WIN32_SYMBOL(HeapCompact);

/*
 * The calling thread's last error. It is molehill's own variable, so libc does not
 * disturb it.
 *
 *   returns   an ERROR_ code; 0 in a new thread
 *   errors    none
 *   threads   any; each has its own
 *   progress  wait-free
 *   spec      2, 7
 */
MH_API DWORD WINAPI GetLastError(void) MH_WIN32_SYMBOL(GetLastError);

/*
 * Set the calling thread's last error.
 *
 *   dwErrCode  any value. Under compat:windows it is stored in errno as well, where .NET
 *              looks.
 *   errors     none
 *   threads    any; each has its own
 *   progress   wait-free
 *   spec       2, 4.3, 7
 */
MH_API void WINAPI SetLastError(DWORD dwErrCode) MH_WIN32_SYMBOL(SetLastError);

#ifdef __cplusplus
}
#endif
