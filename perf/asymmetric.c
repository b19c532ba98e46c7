/* SPDX-License-Identifier: MIT */
/*
 * Threads that only allocate beside threads that only free: the even lanes fill parcels
 * of PARCEL_BLOCKS blocks, the parcel itself allocated too, and put them on one shelf
 * under a mutex; the odd lanes take any parcel and free all of it. So each freeing lane
 * meets the blocks of every allocating one, in lanes that may outnumber the processors.
 * One op is one block's allocation and free.
 */
#include <pthread.h>

#include "harness.h"
#include "target.h"

#define PARCEL_BLOCKS 120u
#define SHELF_PARCELS 64u

struct parcel {
    struct parcel *next;
    void *block[PARCEL_BLOCKS];
};

static struct perf_sizes sizes;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t has_parcel = PTHREAD_COND_INITIALIZER;
static pthread_cond_t has_room = PTHREAD_COND_INITIALIZER;
static struct parcel *shelf; /* these two under lock */
static unsigned shelf_parcels;

static void setup(void)
{
    perf_sizes_from_options(&sizes);
    if (perf_lanes() % 2 != 0)
        perf_die("asymmetric: an even number of threads is wanted");
}

static void shelf_put(struct parcel *parcel)
{
    pthread_mutex_lock(&lock);
    while (shelf_parcels == SHELF_PARCELS)
        pthread_cond_wait(&has_room, &lock);
    parcel->next = shelf;
    shelf = parcel;
    shelf_parcels++;
    pthread_cond_signal(&has_parcel);
    pthread_mutex_unlock(&lock);
}

static struct parcel *shelf_take(void)
{
    pthread_mutex_lock(&lock);
    while (shelf == NULL)
        pthread_cond_wait(&has_parcel, &lock);
    struct parcel *parcel = shelf;
    shelf = parcel->next;
    shelf_parcels--;
    pthread_cond_signal(&has_room);
    pthread_mutex_unlock(&lock);
    return parcel;
}

static void parcel_fill_and_put(uint64_t draw)
{
    struct parcel *parcel = PERF_ALLOC(sizeof *parcel);
    for (unsigned i = 0; i < PARCEL_BLOCKS; i++) {
        parcel->block[i] = PERF_ALLOC(perf_size(&sizes, draw + i));
        perf_touch(parcel->block[i]);
    }
    shelf_put(parcel);
}

static void parcel_take_and_free(void)
{
    struct parcel *parcel = shelf_take();
    for (unsigned i = 0; i < PARCEL_BLOCKS; i++)
        PERF_FREE(parcel->block[i]);
    PERF_FREE(parcel);
}

/*
 * Every lane moves the same number of parcels, so the shelf is empty between repetitions.
 */
static uint64_t run(unsigned lane, uint64_t ops)
{
    uint64_t parcels = 2 * ops / PARCEL_BLOCKS;
    bool fills = lane % 2 == 0;

    for (uint64_t i = 0; i < parcels; i++) {
        if (fills)
            parcel_fill_and_put(i * PARCEL_BLOCKS + lane);
        else
            parcel_take_and_free();
    }
    return fills ? parcels * PARCEL_BLOCKS : 0;
}

const struct perf_workload perf_workload = {.setup = setup, .run = run};
