/* SPDX-License-Identifier: MIT */
/*
 * The spy record, attached and detached while threads allocate, resize and free each
 * other's blocks: each trace is whole and true. What is allocated at an address is freed
 * before it comes again, by whichever thread; a trace of all that was done has each
 * operation once; a fork's child leaves the trace alone.
 */
#include <fcntl.h>
#include <molehill/spy.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "observers/reader.h"
#include "observers/record.h"
#include "race.h"

enum {
    WORKERS = 3,
    SHELVES = 16,
    PLACES = 1 << 17,
    BYTES_MOST = 600,
    RESIZED_MOST = 4000,
    MARK_BYTES = 4500, /* of the block that is allocated when the spy is attached */
};

static HANDLE heap;
static _Atomic(void *) shelves[SHELVES];
static atomic_bool is_over;
static char path[200];
static const struct mh_spy *spy;

struct worker {
    pthread_t thread;
    uint64_t random;
    size_t rounds; /* 0: until it is over */
    size_t allocs, frees, resizes;
};

/* The events of one trace, or of many. */
struct sums {
    size_t events, allocs, frees, resizes, remote, older, unheard, lanes;
    size_t untrue; /* frees that were not heard, of blocks that came after the mark */
    uint64_t mark; /* the number of its event, plus 1 */
};

static void put_away(struct worker *worker, void *block)
{
    if (!block)
        return;
    race_require(HeapFree(heap, 0, block), "a block cannot be freed");
    worker->frees++;
}

static void *work(void *argument)
{
    struct worker *worker = argument;
    for (size_t i = 0; worker->rounds ? i < worker->rounds : !atomic_load(&is_over);
         i++) {
        void *block = HeapAlloc(heap, 0, race_below(&worker->random, BYTES_MOST) + 1);
        worker->allocs += block != NULL;
        if (block && i % 4 == 0) {
            size_t bytes = race_below(&worker->random, RESIZED_MOST) + 1;
            void *more = HeapReAlloc(heap, 0, block, bytes);
            worker->resizes += more != NULL;
            block = more ? more : block;
        }
        size_t shelf = race_below(&worker->random, SHELVES);
        put_away(worker, atomic_exchange(&shelves[shelf], block));
        if (i % 64 == 0)
            sched_yield();
    }
    return NULL;
}

static void start(struct worker *workers, size_t rounds)
{
    for (size_t i = 0; i < WORKERS; i++) {
        workers[i] = (struct worker){.random = race_seed + i, .rounds = rounds};
        workers[i].thread = race_thread(work, &workers[i]);
    }
}

static void join(struct worker *workers)
{
    for (size_t i = 0; i < WORKERS; i++)
        race_join(workers[i].thread);
}

static void begin(void)
{
    char words[256], error[256];
    void *where = NULL;
    snprintf(words, sizeof words, "file:%s", path);
    unlink(path);
    spy = record_begin(words, &where, error, sizeof error);
    if (!spy || mh_spy_attach(spy, heap) != 0) {
        race_fail("no recording: %s", error);
        _exit(race_end());
    }
}

static void end(void)
{
    char text[4200];
    race_require(mh_spy_detach(spy) == 0, "the spy is not detached");
    record_end(text, sizeof text);
    race_require(strstr(text, " 0 lost, "), "the recording ends with: %s", text);
}

/* Where the live block of this address is noted, with its lane plus 1; 0: it is not. */
struct place {
    uint64_t block;
    uint64_t number;
    uint32_t lane;
};

static struct place places[PLACES];

static struct place *place_of(uint64_t block)
{
    size_t at = race_mix(block) % PLACES;
    while (places[at].block && places[at].block != block)
        at = (at + 1) % PLACES;
    places[at].block = block;
    return &places[at];
}

static void leave(struct sums *sums, uint64_t block, uint32_t lane)
{
    struct place *place = place_of(block);
    sums->older += !place->lane;
    sums->remote += place->lane && place->lane != lane + 1;
    place->lane = 0;
}

/* While the spy is being attached frees are heard of some threads only. */
static void come(struct sums *sums, const struct trace_event *event)
{
    struct place *place = place_of(event->block);
    sums->unheard += place->lane != 0;
    sums->untrue += place->lane != 0 && sums->mark && place->number >= sums->mark;
    place->lane = event->lane + 1;
    place->number = event->number;
    if (event->bytes == MARK_BYTES)
        sums->mark = event->number + 1;
}

static void add(struct sums *sums, const struct trace_event *event)
{
    race_require(event->heap == (uintptr_t)heap, "an event of another heap");
    race_require(event->number == sums->events++, "an event out of order");
    race_require(event->bytes <= MARK_BYTES, "a block of %llu bytes",
                 (unsigned long long)event->bytes);
    sums->allocs += event->kind == TRACE_ALLOC;
    sums->frees += event->kind == TRACE_FREE;
    sums->resizes += event->kind == TRACE_REALLOC;
    if (event->kind == TRACE_FREE)
        leave(sums, event->block, event->lane);
    if (event->kind == TRACE_REALLOC)
        leave(sums, event->old_block, event->lane);
    if (event->kind != TRACE_FREE)
        come(sums, event);
}

/* What is in the trace, which must be whole. */
static struct sums look(void)
{
    static struct reader reader;
    struct sums sums = {.events = 0};
    struct trace_event event;
    struct stat about = {.st_size = 0};
    int file = open(path, O_RDONLY | O_CLOEXEC);
    race_require(file >= 0 && fstat(file, &about) == 0, "the trace is not there");
    void *trace = mmap(NULL, (size_t)about.st_size, PROT_READ, MAP_PRIVATE, file, 0);
    close(file);
    memset(places, 0, sizeof places);
    if (trace == MAP_FAILED) {
        race_fail("the trace is empty");
        return sums;
    }
    if (reader_begin(&reader, trace, (size_t)about.st_size))
        while (reader_next(&reader, &event))
            add(&sums, &event);
    race_require(!reader.error[0], "the trace is not whole: %s", reader.error);
    sums.lanes = reader.header.lanes;
    munmap(trace, (size_t)about.st_size);
    return sums;
}

/* All that the threads do, from their start to their end. */
static void whole(void)
{
    struct worker workers[WORKERS], sum = {.rounds = 0};
    begin();
    start(workers, race_size(20000, 4000, 800));
    join(workers);
    end();
    for (size_t i = 0; i < WORKERS; i++) {
        sum.allocs += workers[i].allocs;
        sum.frees += workers[i].frees;
        sum.resizes += workers[i].resizes;
    }
    struct sums found = look();
    race_case(found.allocs == sum.allocs && found.frees == sum.frees &&
                  found.resizes == sum.resizes,
              "recorded %zu, %zu, %zu of %zu allocations, %zu frees, %zu resizes",
              found.allocs, found.frees, found.resizes, sum.allocs, sum.frees,
              sum.resizes);
    race_case(found.older == 0 && found.unheard == 0,
              "%zu frees of blocks never allocated, %zu blocks never freed", found.older,
              found.unheard);
    race_case(found.lanes >= 1 && found.lanes <= WORKERS, "%zu lanes", found.lanes);
}

/* The spy comes and goes; threads come and go with it. */
static void come_and_go(void)
{
    struct worker workers[WORKERS], brief[WORKERS];
    struct sums all = {.events = 0};
    size_t turns = race_size(150, 40, 6);
    start(workers, 0);
    for (size_t turn = 0; turn < turns; turn++) {
        begin();
        void *mark = HeapAlloc(heap, 0, MARK_BYTES);
        race_require(mark && HeapFree(heap, 0, mark), "no mark");
        start(brief, 100);
        join(brief);
        end();
        struct sums found = look();
        all.events += found.events;
        all.remote += found.remote;
        all.older += found.older;
        all.unheard += found.unheard;
        all.untrue += found.untrue;
        race_require(found.mark, "the mark is not in the trace");
        race_require(found.allocs >= (size_t)WORKERS * 100, "only %zu allocations",
                     found.allocs);
    }
    atomic_store(&is_over, true);
    join(workers);
    printf("record: %zu events, %zu remote, %zu older, %zu unheard\n", all.events,
           all.remote, all.older, all.unheard);
    race_case(all.remote > 0 && all.older > 0,
              "%zu events with %zu remote frees, %zu of older blocks", all.events,
              all.remote, all.older);
    race_case(all.untrue == 0, "%zu blocks are freed unheard", all.untrue);
}

/* A child goes on under the spy, and ends as a program does. */
static void children(void)
{
    struct worker worker = {.random = race_seed, .rounds = 100};
    begin();
    work(&worker);
    pid_t child = fork();
    if (child == 0) {
        char text[4200];
        worker.rounds = 10000;
        work(&worker);
        record_end(text, sizeof text);
        _exit(record_is_under_way() || text[0] ? 1 : 0);
    }
    int status = -1;
    race_require(child > 0 && waitpid(child, &status, 0) == child, "no child");
    work(&worker);
    end();
    race_case(status == 0, "the child ends with %x", (unsigned)status);
    struct sums found = look();
    race_case(found.allocs == worker.allocs, "%zu of %zu allocations", found.allocs,
              worker.allocs);
}

int main(void)
{
    char folder[] = "/tmp/molehill-record-XXXXXX";
    race_begin("record");
    heap = HeapCreate(0, 0, 0);
    if (!heap || !mkdtemp(folder)) {
        race_fail("nowhere to record");
        return race_end();
    }
    snprintf(path, sizeof path, "%s/trace", folder);
    whole();
    come_and_go();
    children();
    race_case(HeapDestroy(heap), "the heap cannot be destroyed");
    unlink(path);
    rmdir(folder);
    return race_end();
}
