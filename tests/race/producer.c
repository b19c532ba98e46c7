/* SPDX-License-Identifier: MIT */
/*
 * Producers and consumers: memory that one thread allocates and others free must come
 * back to where allocations are, however the roles are spread. In each phase, resident
 * memory stays below 1.5 times what is live in that phase, at its peak, plus 16 MiB. How
 * much is live does not depend on who runs faster: nobody takes from a ring before it was
 * full once.
 */
#include <sys/mman.h>
#include <sys/wait.h>

#include "race.h"
#include "tcache/process.h"
#include "tcache/thread.h"

enum { MIB = 1 << 20, RING = 1 << 14, ROOM_BYTES = 16 * MIB };

/*
 * What may stay when all is freed: the slabs that caches of few threads keep, and warm
 * memory.
 */
enum { REST_BYTES = 24 * MIB };

/* A ring of blocks for one producer and one consumer. */
struct ring {
    _Atomic(size_t *) block[RING];
    atomic_bool was_full; /* or its producer is done */
    atomic_bool is_over;
};

static HANDLE heap; /* NULL: malloc */
static atomic_size_t live, live_peak;
static struct ring rings[2];
static size_t base_resident;
static bool has_peak;

static size_t *allocate(size_t bytes)
{
    size_t *block = heap ? HeapAlloc(heap, 0, bytes) : mh_malloc(bytes);
    if (!block) {
        race_fail("no memory for %zu bytes", bytes);
        _exit(race_end());
    }
    memset(block, 0x5a, bytes);
    block[0] = bytes;
    size_t now = atomic_fetch_add(&live, bytes) + bytes;
    size_t peak = atomic_load(&live_peak);
    while (now > peak && !atomic_compare_exchange_weak(&live_peak, &peak, now)) {
    }
    return block;
}

static void release(size_t *block)
{
    atomic_fetch_sub(&live, block[0]);
    if (heap)
        race_require(HeapFree(heap, 0, block), "HeapFree refused a live block");
    else
        mh_free(block);
}

static size_t some_bytes(uint64_t *random)
{
    return race_below(random, 10) ? 16 + race_below(random, 600)
                                  : 16 + race_below(random, 20000);
}

/* What a thread of a phase does. */
struct role {
    struct ring *from, *to;
    size_t bytes;        /* to produce */
    bool also_allocates; /* a consumer with allocations of its own */
    uint64_t random;
};

static void await_full(struct ring *ring)
{
    while (!atomic_load(&ring->was_full))
        race_sleep_ms(1);
}

static void *produce(void *argument)
{
    struct role *role = argument;
    size_t place = 0;
    for (size_t produced = 0; produced < role->bytes;) {
        size_t *block = allocate(some_bytes(&role->random));
        produced += block[0];
        while (atomic_load_explicit(&role->to->block[place], memory_order_acquire)) {
            atomic_store(&role->to->was_full, true);
            race_sleep_ms(1);
        }
        atomic_store_explicit(&role->to->block[place], block, memory_order_release);
        place = (place + 1) % RING;
    }
    atomic_store(&role->to->is_over, true);
    atomic_store(&role->to->was_full, true);
    return NULL;
}

static void *consume(void *argument)
{
    struct role *role = argument;
    await_full(role->from);
    for (size_t place = 0;; place = (place + 1) % RING) {
        _Atomic(size_t *) *from = &role->from->block[place];
        while (!atomic_load_explicit(from, memory_order_acquire)) {
            if (atomic_load(&role->from->is_over) && !atomic_load(from))
                return NULL;
            race_sleep_ms(1);
        }
        size_t *block = atomic_exchange(from, NULL);
        release(block);
        if (role->also_allocates)
            release(allocate(some_bytes(&role->random)));
    }
}

/*
 * Forget the peak of what was live, and let the kernel forget that of resident memory;
 * without that the last value counts.
 */
static void begin_phase(void)
{
    atomic_store(&live_peak, atomic_load(&live));
    FILE *file = fopen("/proc/self/clear_refs", "we");
    has_peak = file && fputs("5", file) >= 0;
    if (file)
        has_peak = fclose(file) == 0 && has_peak;
}

static size_t peak_resident(void)
{
    char line[200];
    size_t kib = 0;
    FILE *file = has_peak ? fopen("/proc/self/status", "re") : NULL;
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "VmHWM: %zu", &kib) == 1)
            break;
    if (file)
        fclose(file);
    return kib ? kib * 1024 : race_resident();
}

/* Compare the phase's peak of resident memory with the peak of what was live. */
static void measure(const char *phase)
{
    size_t resident = peak_resident(), live_now = atomic_load(&live_peak);
    size_t used = resident > base_resident ? resident - base_resident : 0;
    size_t allowed = live_now + live_now / 2 + ROOM_BYTES;
    if (!race_brief())
        race_case(used <= allowed, "%s: %zu KiB resident for %zu KiB live", phase,
                  used / 1024, live_now / 1024);
    printf("%s: %zu KiB live, %zu KiB resident\n", phase, live_now / 1024, used / 1024);
}

static struct role role_of(size_t number, size_t bytes)
{
    return (struct role){.from = &rings[number],
                         .to = &rings[number],
                         .bytes = bytes,
                         .random = race_mix(race_seed + number)};
}

static void begin_ring(struct ring *ring)
{
    atomic_store(&ring->is_over, false);
    atomic_store(&ring->was_full, false);
}

/* The consumer may or may not allocate; the producer goes on all the time. */
static void stream(const char *phase, bool consumer_allocates)
{
    begin_phase();
    struct role producer = role_of(0, race_size(400, 40, 2) * (size_t)MIB);
    struct role consumer = producer;
    consumer.also_allocates = consumer_allocates;
    begin_ring(&rings[0]);
    pthread_t threads[] = {race_thread(produce, &producer),
                           race_thread(consume, &consumer)};
    race_join(threads[0]);
    race_join(threads[1]);
    measure(phase);
}

/* Fill the ring from its place `out` on as far as it is empty; bytes. */
static size_t fill(struct role *role, size_t *out, size_t most)
{
    size_t produced = 0;
    for (; !atomic_load(&role->to->block[*out]) && produced < most;
         *out = (*out + 1) % RING) {
        size_t *block = allocate(some_bytes(&role->random));
        produced += block[0];
        atomic_store(&role->to->block[*out], block);
    }
    return produced;
}

/* Rings in both directions: each thread frees what the other one allocates. */
static void *exchange_blocks(void *argument)
{
    struct role *role = argument;
    size_t out = 0, in = 0;
    size_t produced = fill(role, &out, role->bytes);
    atomic_store(&role->to->was_full, true);
    await_full(role->from);
    while (produced < role->bytes) {
        produced += fill(role, &out, 1);
        size_t *block = atomic_exchange(&role->from->block[in], NULL);
        if (block) {
            release(block);
            in = (in + 1) % RING;
        } else if (atomic_load(&role->to->block[out])) {
            race_sleep_ms(1);
        }
        if (atomic_load(&role->from->is_over) && atomic_load(&role->to->block[out]))
            break; /* nobody takes any more */
    }
    atomic_store(&role->to->is_over, true);
    return NULL;
}

static void both_ways(void)
{
    begin_phase();
    size_t bytes = race_size(200, 20, 1) * (size_t)MIB;
    struct role one = role_of(0, bytes), other = role_of(1, bytes);
    one.from = &rings[1];
    other.from = &rings[0];
    begin_ring(&rings[0]);
    begin_ring(&rings[1]);
    pthread_t threads[] = {race_thread(exchange_blocks, &one),
                           race_thread(exchange_blocks, &other)};
    race_join(threads[0]);
    race_join(threads[1]);
    for (size_t i = 0; i < 2 * RING; i++) {
        size_t *block = atomic_exchange(&rings[i / RING].block[i % RING], NULL);
        if (block)
            release(block);
    }
    measure("both ways");
}

/* --- an owner that stops ---------------------------------------------------------- */

static size_t **kept;
static size_t kept_count;
static atomic_int turn; /* 0: nobody's yet; the owner lives and waits */

static void *allocate_and_wait(void *argument)
{
    struct role *role = argument;
    size_t bytes = 0;
    for (kept_count = 0; bytes < role->bytes; kept_count++) {
        kept[kept_count] = allocate(some_bytes(&role->random));
        bytes += kept[kept_count][0];
    }
    atomic_store(&turn, 1);
    while (atomic_load(&turn) != 2)
        race_sleep_ms(1);
    return NULL;
}

static void *free_kept(void *argument)
{
    (void)argument;
    for (size_t i = 0; i < kept_count; i++)
        release(kept[i]);
    return NULL;
}

static void *allocate_kept(void *argument)
{
    struct role *role = argument;
    size_t bytes = 0;
    for (kept_count = 0; bytes < role->bytes; kept_count++) {
        kept[kept_count] = allocate(some_bytes(&role->random));
        bytes += kept[kept_count][0];
    }
    return NULL;
}

/*
 * The owner allocates much and does nothing any more, nor does it end. Others free all of
 * it and then allocate as much themselves, several times. Without a way back it would all
 * be there twice.
 */
static void owner_stops(void)
{
    size_t bytes = race_size(96, 16, 2) * (size_t)MIB;
    size_t room = bytes / 16 * sizeof *kept; /* most of it is never touched */
    kept = mmap(NULL, room, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (kept == MAP_FAILED) {
        race_fail("mmap failed");
        return;
    }
    begin_phase();
    struct role owner = role_of(0, bytes), next = role_of(1, bytes);
    atomic_store(&turn, 0);
    pthread_t waiting = race_thread(allocate_and_wait, &owner);
    while (atomic_load(&turn) != 1)
        race_sleep_ms(1);
    measure("an owner allocates");
    for (int round = 0; round < 3; round++) {
        race_join(race_thread(free_kept, NULL));
        begin_phase();
        next.random++;
        race_join(race_thread(allocate_kept, &next));
        measure("others freed all of it and allocate");
    }
    race_join(race_thread(free_kept, NULL));
    atomic_store(&turn, 2);
    race_join(waiting);
    munmap(kept, room);
}

/* What nobody uses goes back to the system, after a while. */
static void await_release(const char *what)
{
    for (int wait = 0; wait < 100 && race_resident() > base_resident + REST_BYTES; wait++)
        race_sleep_ms(100);
    size_t resident = race_resident();
    resident -= resident < base_resident ? resident : base_resident;
    printf("everything freed: %zu KiB resident\n", resident / 1024);
    if (!race_brief())
        race_case(resident <= REST_BYTES, "%s: %zu KiB stay resident", what,
                  resident / 1024);
}

static void run(const char *what)
{
    printf("--- %s\n", what);
    stream("a consumer that never allocates", false);
    stream("a consumer that allocates too", true);
    both_ways();
    owner_stops();
    await_release(what);
    stream("a consumer that never allocates, after much was live", false);
    race_case(atomic_load(&live) == 0, "%s: %zu bytes were lost on the way", what,
              atomic_load(&live));
    await_release(what);
}

/* Each target in a process of its own: what one leaves resident is not the other's. */
static int run_target(bool is_malloc)
{
    struct mh_stats before = race_stats();
    base_resident = race_resident();
    if (!is_malloc)
        heap = HeapCreate(0, 0, 0);
    run(is_malloc ? "malloc" : "a heap");
    if (is_malloc) {
        race_case(mole_process_malloc_bytes() == 0, "malloc holds %zu bytes",
                  mole_process_malloc_bytes());
    } else {
        race_case(race_allocated(heap) == 0, "it holds %zu bytes", race_allocated(heap));
        race_case(HeapDestroy(heap), "HeapDestroy failed");
    }
    struct mh_stats after = race_stats();
    unsigned long long batches = after.remote_batches - before.remote_batches;
    race_case(batches >= race_size(1000, 100, 0), "exercised too little: %llu batches",
              batches);
    return race_end();
}

int main(void)
{
    race_begin("producer");
    for (int is_malloc = 0; is_malloc < 2; is_malloc++) {
        int status = 1;
        pid_t child = fork();
        if (child == 0) {
            atomic_store(&race_failed, 0);
            _exit(run_target(is_malloc));
        }
        race_require(waitpid(child, &status, 0) == child, "no child to wait for");
        race_case(status == 0, "%s: see above", is_malloc ? "malloc" : "a heap");
    }
    if (race_brief())
        race_skip("resident memory: a sanitizer's own would count");
    return race_end();
}
