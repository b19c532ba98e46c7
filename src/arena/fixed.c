/* SPDX-License-Identifier: MIT */
#include "arena/fixed.h"

#include <string.h>

#include "arena/guard.h"
#include "arena/region.h"
#include "arena/span_map.h"
#include "base/check.h"
#include "os/pages.h"

/* Shorter extents than this have a class for each length. */
enum { EXACT = 8, EXACT_SHIFT = 3, SUBCLASSES = 4, SUBCLASS_SHIFT = 2 };

static unsigned log2_of(size_t n)
{
    return 63u - (unsigned)__builtin_clzll(n);
}

unsigned mole_fixed_class(size_t granules)
{
    unsigned shift = log2_of(granules);
    if (granules < EXACT)
        return (unsigned)granules - 1;
    return EXACT - 1 + (shift - EXACT_SHIFT) * SUBCLASSES +
           (unsigned)(granules >> (shift - SUBCLASS_SHIFT) & (SUBCLASSES - 1));
}

unsigned mole_fixed_window_shift(unsigned class)
{
    if (class < EXACT - 1)
        return log2_of(class + 1);
    return (class - (EXACT - 1)) / SUBCLASSES + EXACT_SHIFT;
}

/* The first class all of whose extents are long enough. */
static unsigned class_that_fits(size_t granules)
{
    if (granules < EXACT)
        return mole_fixed_class(granules);
    size_t step = (size_t)1 << (log2_of(granules) - SUBCLASS_SHIFT);
    return mole_fixed_class(granules + step - 1);
}

static size_t windows_of(size_t end, unsigned class)
{
    return (end >> mole_fixed_window_shift(class)) + 1;
}

/* Where the pages for the table start, from the run's base; whole pages behind blocks. */
static size_t table_offset(size_t maximum)
{
    return mole_round_up(MOLE_PAGE + maximum + MOLE_PAGE, MOLE_CHUNK);
}

static size_t end_for(size_t maximum)
{
    return 1 + (maximum - MOLE_FIXED_CHARGED) / MOLE_GRANULE;
}

static size_t table_bytes(size_t end)
{
    return mole_round_up((end + 1) * sizeof(uint32_t), MOLE_PAGE);
}

static size_t sets_bytes(size_t end)
{
    size_t words = 0;
    for (unsigned class = 0; class < MOLE_FIXED_CLASSES; class += 1)
        words += mole_bit_tree_words(windows_of(end, class));
    return mole_round_up(words * sizeof(uint64_t), MOLE_PAGE);
}

size_t mole_fixed_chunks(size_t maximum_bytes)
{
    if (maximum_bytes > mole_region_reserved())
        return 0;
    size_t end = end_for(maximum_bytes);
    size_t bytes =
        table_offset(maximum_bytes) + table_bytes(end) + sets_bytes(end) + MOLE_PAGE;
    return mole_round_up(bytes, MOLE_CHUNK) / MOLE_CHUNK;
}

/* Kernel calls cost more than clearing less than this. */
enum { PURGE_LEAST = 256 * 1024 };

static void clear(void *start, size_t bytes)
{
    if (bytes < PURGE_LEAST || !mole_pages_purge(start, bytes))
        memset(start, 0, bytes);
}

static void set_entry(struct mole_fixed *fixed, size_t granule, uint32_t entry)
{
    store_rlx(&fixed->entry_a[granule], entry);
}

/* The granule that tells where an extent begins that is in the window. */
static size_t teller_of(size_t window, unsigned shift)
{
    return ((window + 1) << shift) - 1;
}

size_t mole_fixed_start(const struct mole_fixed *fixed, unsigned class, size_t window)
{
    size_t teller = teller_of(window, mole_fixed_window_shift(class));
    uint32_t entry = mole_fixed_entry(fixed, teller);
    uint32_t number = entry & MOLE_FIXED_NUMBER;
    if (mole_fixed_is(entry, MOLE_FIXED_FREE))
        return teller;
    return mole_fixed_is(entry, MOLE_FIXED_TAIL) ? teller - number + 1 : teller - number;
}

static void insert(struct mole_fixed *fixed, size_t granule, size_t granules)
{
    unsigned class = mole_fixed_class(granules);
    unsigned shift = mole_fixed_window_shift(class);
    size_t window = granule >> shift;
    size_t teller = teller_of(window, shift);
    size_t last = granule + granules - 1;
    if (teller != granule && teller != last)
        set_entry(fixed, teller, (uint32_t)(teller - granule));
    if (last != granule)
        set_entry(fixed, last, MOLE_FIXED_TAIL | (uint32_t)granules);
    set_entry(fixed, granule, MOLE_FIXED_FREE | (uint32_t)granules);
    mole_bit_tree_add(&fixed->tree[class], window);
    fixed->filled[class / 64] |= (uint64_t)1 << class % 64;
}

static void remove_extent(struct mole_fixed *fixed, size_t granule, size_t granules)
{
    unsigned class = mole_fixed_class(granules);
    unsigned shift = mole_fixed_window_shift(class);
    size_t window = granule >> shift;
    set_entry(fixed, teller_of(window, shift), 0);
    set_entry(fixed, granule + granules - 1, 0);
    set_entry(fixed, granule, 0);
    mole_bit_tree_remove(&fixed->tree[class], window);
    if (mole_bit_tree_is_empty(&fixed->tree[class]))
        fixed->filled[class / 64] &= ~((uint64_t)1 << class % 64);
}

/*
 * Insert an extent however long it is: what makes it one of several comes first, for that
 * is taken first. So memory is put to use from below.
 */
static void insert_all(struct mole_fixed *fixed, size_t granule, size_t granules)
{
    size_t part = granules % MOLE_FIXED_LONGEST;
    if (part)
        insert(fixed, granule, part);
    for (; part < granules; part += MOLE_FIXED_LONGEST)
        insert(fixed, granule + part, MOLE_FIXED_LONGEST);
}

/* The first class from this one on that has an extent; MOLE_FIXED_CLASSES: none. */
static unsigned next_filled(const struct mole_fixed *fixed, unsigned class)
{
    for (unsigned word = class / 64; word < MOLE_FIXED_FILLED; word++) {
        uint64_t rest = fixed->filled[word];
        if (word == class / 64)
            rest &= UINT64_MAX << class % 64;
        if (rest)
            return word * 64 + (unsigned)__builtin_ctzll(rest);
    }
    return MOLE_FIXED_CLASSES;
}

static size_t length_at(const struct mole_fixed *fixed, size_t granule)
{
    return mole_fixed_entry(fixed, granule) & MOLE_FIXED_NUMBER;
}

/* One of a class whose extents are not all long enough. */
static size_t search(const struct mole_fixed *fixed, unsigned class, size_t granules)
{
    const struct mole_bit_tree *tree = &fixed->tree[class];
    for (size_t window = mole_bit_tree_next(tree, 0); window != SIZE_MAX;
         window = mole_bit_tree_next(tree, window + 1)) {
        size_t granule = mole_fixed_start(fixed, class, window);
        if (length_at(fixed, granule) >= granules)
            return granule;
    }
    return 0;
}

/* A free extent of that length or longer; 0: there is none. */
static size_t find(const struct mole_fixed *fixed, size_t granules)
{
    unsigned class = next_filled(fixed, class_that_fits(granules));
    if (class < MOLE_FIXED_CLASSES)
        return mole_fixed_start(fixed, class, mole_bit_tree_first(&fixed->tree[class]));
    return search(fixed, mole_fixed_class(granules), granules);
}

/*
 * Pages that get their first block: in the span map a chunk at a time. In this order, for
 * a fork's child may find it half done.
 */
static void rise(struct mole_fixed *fixed, size_t high)
{
    if (high > fixed->mapped) {
        size_t first = (fixed->mapped - 1) * MOLE_GRANULE;
        size_t last = mole_round_up((high - 1) * MOLE_GRANULE, MOLE_CHUNK);
        if (last > fixed->limits.maximum_bytes)
            last = fixed->limits.maximum_bytes;
        mole_span_map_set(mole_fixed_at(fixed, fixed->mapped), (last - first) / MOLE_PAGE,
                          fixed->span);
        fence_compiler();
        fixed->mapped = 1 + last / MOLE_GRANULE;
        fence_compiler();
    }
    mole_guard_freed(fixed->span->heap, mole_fixed_at(fixed, fixed->high),
                     (high - fixed->high) * MOLE_GRANULE);
    fixed->high = high;
}

size_t mole_fixed_take(struct mole_fixed *fixed, size_t granules)
{
    size_t granule = find(fixed, granules);
    if (!granule)
        return 0;
    size_t length = length_at(fixed, granule);
    remove_extent(fixed, granule, length);
    if (length > granules)
        mole_fixed_give(fixed, granule + granules, length - granules);
    if (granule + granules > fixed->high)
        rise(fixed, granule + granules);
    return granule;
}

/* The length of the free extent that ends before the granule; 0: there is none. */
static size_t length_before(const struct mole_fixed *fixed, size_t granule)
{
    uint32_t entry = mole_fixed_entry(fixed, granule - 1);
    bool is_end =
        mole_fixed_is(entry, MOLE_FIXED_TAIL) ||
        (mole_fixed_is(entry, MOLE_FIXED_FREE) && (entry & MOLE_FIXED_NUMBER) == 1);
    return is_end ? entry & MOLE_FIXED_NUMBER : 0;
}

/* The same of one that begins there, which may be behind all. */
static size_t length_behind(const struct mole_fixed *fixed, size_t granule)
{
    uint32_t entry = mole_fixed_entry(fixed, granule);
    return mole_fixed_is(entry, MOLE_FIXED_FREE) ? entry & MOLE_FIXED_NUMBER : 0;
}

void mole_fixed_give(struct mole_fixed *fixed, size_t granule, size_t granules)
{
    set_entry(fixed, granule, 0);
    size_t before = length_before(fixed, granule);
    size_t behind = length_behind(fixed, granule + granules);
    if (before && before + granules <= MOLE_FIXED_LONGEST) {
        remove_extent(fixed, granule - before, before);
        granule -= before;
        granules += before;
    }
    if (behind && behind + granules <= MOLE_FIXED_LONGEST) {
        remove_extent(fixed, granule + granules, behind);
        granules += behind;
    }
    insert(fixed, granule, granules);
}

bool mole_fixed_resize(struct mole_fixed *fixed, size_t granule, size_t bytes)
{
    uint32_t entry = mole_fixed_entry(fixed, granule);
    size_t old = mole_fixed_length(fixed, entry & ~MOLE_FIXED_LIVE);
    size_t now = mole_fixed_length(fixed, bytes);
    size_t behind = length_behind(fixed, granule + old);
    if (now > old + behind)
        return false;
    if (now > old) {
        remove_extent(fixed, granule + old, behind);
        if (old + behind > now)
            mole_fixed_give(fixed, granule + now, old + behind - now);
        if (granule + now > fixed->high)
            rise(fixed, granule + now);
    }
    char *end = mole_fixed_at(fixed, granule + now);
    if (now < old)
        mole_guard_freed(fixed->span->heap, end, (old - now) * MOLE_GRANULE);
    set_entry(fixed, granule, MOLE_FIXED_LIVE | (uint32_t)bytes);
    if (now < old)
        mole_fixed_give(fixed, granule + now, old - now);
    return true;
}

size_t mole_fixed_bytes(const struct mole_fixed *fixed, const void *address)
{
    size_t granule = mole_fixed_granule(fixed, address);
    if (granule - 1 >= fixed->end - 1)
        return MOLE_LARGE_FREE;
    uint32_t entry = mole_fixed_entry(fixed, granule);
    return entry & MOLE_FIXED_LIVE ? entry & ~MOLE_FIXED_LIVE : MOLE_LARGE_FREE;
}

size_t mole_fixed_committed(const struct mole_fixed *fixed)
{
    size_t used = mole_round_up((fixed->high - 1) * MOLE_GRANULE, MOLE_PAGE);
    return used > fixed->limits.initial_bytes ? used : fixed->limits.initial_bytes;
}

static void set_trees(struct mole_fixed *fixed)
{
    uint64_t *words = (uint64_t *)(void *)fixed->sets;
    memset(fixed->filled, 0, sizeof fixed->filled);
    for (unsigned class = 0; class < MOLE_FIXED_CLASSES; class += 1) {
        size_t windows = windows_of(fixed->end, class);
        fixed->tree[class] = (struct mole_bit_tree){.words = words, .size = windows};
        words += mole_bit_tree_words(windows);
    }
}

static void lay_out(struct mole_fixed *fixed, const struct mole_heap *heap)
{
    const struct mole_run *home = heap->home;
    char *table = home->base + table_offset(fixed->limits.maximum_bytes);
    fixed->origin = home->base + MOLE_PAGE - MOLE_GRANULE;
    fixed->end = end_for(fixed->limits.maximum_bytes);
    fixed->pad = heap->pad;
    fixed->share = heap->checks ? 0 : (fixed->end - 1) / MOLE_FIXED_SHARE;
    fixed->entry_a = (_Atomic(uint32_t) *)(void *)table;
    fixed->sets = table + table_bytes(fixed->end);
    fixed->sets_bytes = sets_bytes(fixed->end);
    if (!home->is_zero)
        clear(table, (size_t)(fixed->sets - table) + fixed->sets_bytes);
    set_trees(fixed);
    fixed->high = fixed->mapped = 1;
    fixed->credit = fixed->share;
    insert_all(fixed, 1, fixed->end - 1);
}

static void describe(struct mole_span *span, struct mole_heap *heap)
{
    mole_span_set_owner(span, &mole_owner_nobody);
    span->kind = MOLE_SPAN_FIXED;
    span->base = mole_fixed_at(heap->fixed, 1);
    span->heap = heap;
    mole_span_set_run(span, heap->home);
    span->fixed = heap->fixed;
}

bool mole_fixed_create(struct mole_heap *heap, const struct mole_fixed_limits *limits)
{
    struct mole_fixed *fixed = mole_meta_take(MOLE_META_FIXED, sizeof *fixed);
    if (!fixed)
        return false;
    fixed->span = mole_span_take(0);
    if (!fixed->span) {
        mole_meta_give(fixed);
        return false;
    }
    fixed->limits = *limits;
    lay_out(fixed, heap);
    heap->fixed = fixed;
    describe(fixed->span, heap);
    if (limits->initial_bytes > MOLE_PAGE)
        mole_pages_populate(mole_fixed_at(fixed, 1), limits->initial_bytes);
    return true;
}

void mole_fixed_destroy(struct mole_heap *heap)
{
    struct mole_fixed *fixed = heap->fixed;
    mole_span_map_clear(mole_fixed_at(fixed, 1),
                        (fixed->mapped - 1) * MOLE_GRANULE / MOLE_PAGE);
    fixed->span->kind = MOLE_SPAN_NONE;
    mole_span_give(fixed->span);
    mole_meta_give(fixed);
    heap->fixed = NULL;
}

void mole_fixed_rebuild(struct mole_fixed *fixed)
{
    clear(fixed->sets, fixed->sets_bytes);
    set_trees(fixed);
    size_t free = 1; /* the first granule behind the last live block */
    size_t granule = 1;
    while (granule < fixed->end) {
        uint32_t entry = mole_fixed_entry(fixed, granule);
        if (!(entry & MOLE_FIXED_LIVE)) {
            if (entry)
                set_entry(fixed, granule, 0);
            granule++;
            continue;
        }
        insert_all(fixed, free, granule - free);
        granule += mole_fixed_length(fixed, entry & ~MOLE_FIXED_LIVE);
        free = granule;
    }
    insert_all(fixed, free, fixed->end - free);
    fixed->credit = fixed->share;
}
