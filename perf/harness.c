/* SPDX-License-Identifier: MIT */
/*
 * main of every workload program. Lanes meet at a barrier, run one repetition, meet
 * again; the first repetition warms up and is not counted, and none is begun after
 * budget_ms. A repetition lasts from the first lane's start to the last lane's end; its
 * ns/op is that time over the operations of all lanes together. With after_ms=, each lane
 * then frees what it kept, and resident memory is read that much later.
 */
#include "harness.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "target.h"

#define MAX_LANES 1024u
#define MAX_REPETITIONS 100u
#define MAX_OPTIONS 64
#define NS_PER_MS 1000000u

#if defined __x86_64__ || defined __i386__
#define PAUSE() __builtin_ia32_pause()
#else
#define PAUSE() __asm__ volatile("" ::: "memory")
#endif

struct lane {
    pthread_t thread;
    uint64_t start_ns;
    uint64_t end_ns;
    uint64_t ops;
};

struct figures {
    double samples[MAX_REPETITIONS]; /* ns/op */
    unsigned count;
    double faults;      /* page faults in 1 000 operations */
    unsigned long peak; /* KiB */
};

static struct lane lanes[MAX_LANES];
static unsigned lane_count;
static uint64_t lane_ops;
static bool stop;    /* these two: read and written on opposite sides of the barrier */
static bool is_over; /* repetitions are: what is left is freed */
static pthread_barrier_t barrier;

static char **option_list;     /* argv from the first key=value on, NULL at its end */
static uint64_t options_known; /* bit i: somebody asked for the key of option_list[i] */
static unsigned long hidden_kib;
static char bytes_shown[48] = "-";

#if defined TARGET_HEAP
HANDLE perf_heap;
DWORD perf_heap_options;
#endif

void perf_die(const char *why)
{
    fprintf(stderr, "perf: %s\n", why);
    exit(1);
}

unsigned perf_lanes(void)
{
    return lane_count;
}

static uint64_t parse(const char *text)
{
    char *end;
    unsigned long long value = strtoull(text, &end, 10);
    if (end != text && *end == 'k' && end[1] == '\0')
        return value << 10;
    if (end != text && *end == 'm' && end[1] == '\0')
        return value << 20;
    if (end == text || *end != '\0')
        perf_die("a number is wanted: digits, then k or m or nothing");
    return value;
}

const char *perf_text(const char *key)
{
    size_t length = strlen(key);
    for (unsigned i = 0; option_list[i] != NULL; i++)
        if (strncmp(option_list[i], key, length) == 0 && option_list[i][length] == '=') {
            options_known |= (uint64_t)1 << i;
            return option_list[i] + length + 1;
        }
    return NULL;
}

uint64_t perf_option(const char *key, uint64_t fallback)
{
    const char *text = perf_text(key);
    return text == NULL ? fallback : parse(text);
}

/* When all that is known was asked for: what is left is a mistake, or given twice. */
static void refuse_unknown_options(void)
{
    for (unsigned i = 0; option_list[i] != NULL; i++)
        if (!(options_known >> i & 1)) {
            fprintf(stderr, "perf: no such option: %s\n", option_list[i]);
            exit(1);
        }
}

void *perf_pages(size_t bytes)
{
    void *pages = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (pages == MAP_FAILED)
        perf_die("no memory for the harness");
    return pages;
}

void perf_hide_pages(size_t bytes)
{
    int fd = open("/proc/self/clear_refs", O_WRONLY);
    if (fd < 0 || write(fd, "5", 1) != 1) /* the peak is what it is now */
        fputs("perf: peak_rss has the set-up in it\n", stderr);
    close(fd);
    hidden_kib = bytes / 1024;
}

void perf_show_bytes(uint64_t min, uint64_t max)
{
    const char *format = min == max ? "%llu" : "%llu-%llu";
    snprintf(bytes_shown, sizeof bytes_shown, format, (unsigned long long)min,
             (unsigned long long)max);
}

void perf_sizes_draw(struct perf_sizes *sizes, uint64_t min, uint64_t max, bool log)
{
    struct perf_random random;
    perf_random_seed(&random, min ^ max << 20);
    for (unsigned i = 0; i < PERF_SIZE_COUNT; i++) {
        uint64_t low = min, high = max;
        if (log) {
            uint64_t octaves =
                (uint64_t)(__builtin_clzll(min) - __builtin_clzll(max)) + 1;
            low = (uint64_t)1 << (63 - __builtin_clzll(min));
            low <<= perf_random_below(&random, octaves);
            high = 2 * low - 1 < max ? 2 * low - 1 : max;
            low = low > min ? low : min;
        }
        sizes->at[i] = (uint32_t)(low + perf_random_below(&random, high - low + 1));
    }
}

void perf_sizes_from_options(struct perf_sizes *sizes)
{
    uint64_t min = perf_option("min", 1), max = perf_option("max", 256);
    if (min == 0 || max < min || max > UINT32_MAX)
        perf_die("sizes must obey 1 <= min <= max < 4 GiB");
    perf_sizes_draw(sizes, min, max, perf_option("log", 0) != 0);
    perf_show_bytes(min, max);
}

void perf_wait_turn(unsigned *turns)
{
    if (++*turns % 64 != 0)
        PAUSE();
    else
        sched_yield();
}

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 * NS_PER_MS + (uint64_t)now.tv_nsec;
}

static void run_once(unsigned index)
{
    lanes[index].start_ns = now_ns();
    lanes[index].ops = perf_workload.run(index, lane_ops);
    lanes[index].end_ns = now_ns();
}

static void run_or_finish(unsigned index)
{
    if (!is_over)
        run_once(index);
    else if (perf_workload.finish != NULL)
        perf_workload.finish(index);
}

static void *lane_main(void *argument)
{
    unsigned index = (unsigned)((struct lane *)argument - lanes);
    for (;;) {
        pthread_barrier_wait(&barrier);
        if (stop)
            return NULL;
        run_or_finish(index);
        pthread_barrier_wait(&barrier);
    }
}

/* A single lane runs in the main thread, with no other thread in the process. */
static void all_lanes(void)
{
    if (lane_count == 1) {
        run_or_finish(0);
    } else {
        pthread_barrier_wait(&barrier);
        pthread_barrier_wait(&barrier);
    }
}

static uint64_t all_ops(void)
{
    uint64_t ops = 0;
    for (unsigned i = 0; i < lane_count; i++)
        ops += lanes[i].ops;
    return ops;
}

/* ns/op of one repetition. */
static double repetition(void)
{
    all_lanes();
    uint64_t start = lanes[0].start_ns, end = lanes[0].end_ns;
    for (unsigned i = 1; i < lane_count; i++) {
        start = lanes[i].start_ns < start ? lanes[i].start_ns : start;
        end = lanes[i].end_ns > end ? lanes[i].end_ns : end;
    }
    return (double)(end - start) / (double)all_ops();
}

static void lanes_start(void)
{
    pthread_barrier_init(&barrier, NULL, lane_count + 1);
    for (unsigned i = 0; i < lane_count; i++)
        if (pthread_create(&lanes[i].thread, NULL, lane_main, &lanes[i]) != 0)
            perf_die("no thread to be had");
}

static void lanes_finish(void)
{
    stop = true;
    pthread_barrier_wait(&barrier);
    for (unsigned i = 0; i < lane_count; i++)
        pthread_join(lanes[i].thread, NULL);
}

/*
 * A line of the process's status in KiB. VmHWM is the peak of this process image: not
 * getrusage's, which starts with what the parent had before exec, so that a Python parent
 * would hide anything below its own size.
 */
static unsigned long status_kib(const char *key)
{
    char text[4096];
    int fd = open("/proc/self/status", O_RDONLY);
    ssize_t got = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
    close(fd);
    text[got > 0 ? got : 0] = '\0';
    const char *line = strstr(text, key);
    unsigned long kib = line == NULL ? 0 : strtoul(line + strlen(key), NULL, 10);
    return kib > hidden_kib ? kib - hidden_kib : 0;
}

static uint64_t page_faults(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (uint64_t)usage.ru_minflt;
}

static int compare(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

static void warm_up(void)
{
    unsigned turns = perf_workload.warm_ups ? perf_workload.warm_ups : 1;
    for (unsigned turn = 0; turn < turns; turn++) {
        repetition();
        if (perf_workload.warmed)
            perf_workload.warmed(turn);
    }
}

static void repeat(struct figures *figures, unsigned wanted)
{
    uint64_t budget_ns = perf_option("budget_ms", 2000) * NS_PER_MS;
    bool is_warm = perf_option("warmup", 1) == 0;
    uint64_t begin = now_ns(), ops = 0;

    refuse_unknown_options();
    if (wanted == 0 || wanted > MAX_REPETITIONS)
        perf_die("reps must be 1 to 100");
    if (!is_warm)
        warm_up();
    uint64_t faults = page_faults();
    do {
        figures->samples[figures->count++] = repetition();
        ops += all_ops();
    } while (figures->count < wanted && now_ns() - begin < budget_ns);
    figures->faults = (double)(page_faults() - faults) * 1000 / (double)ops;
    figures->peak = status_kib("VmHWM:");
}

/* KiB resident `after_ms` after all was freed, by threads that are still there. */
static unsigned long rss_after(uint64_t after_ms)
{
    struct timespec time = {.tv_sec = (time_t)(after_ms / 1000),
                            .tv_nsec = (long)(after_ms % 1000 * NS_PER_MS)};
    is_over = true;
    all_lanes();
    nanosleep(&time, NULL);
    return status_kib("VmRSS:");
}

static void measure(const char *name, const char *target)
{
    static struct figures figures;
    unsigned wanted = (unsigned)perf_option("reps", 5);
    uint64_t after_ms = perf_option("after_ms", 0);
    char after[24] = "-";

    repeat(&figures, wanted);
    if (perf_workload.report)
        perf_workload.report(name, target);
    if (after_ms != 0)
        snprintf(after, sizeof after, "%lu", rss_after(after_ms));
    qsort(figures.samples, figures.count, sizeof figures.samples[0], compare);
    printf("%s %s %u %s %llu %.3f %.3f %.3f ns/op %lu %.3f %s\n", name, target,
           lane_count, bytes_shown, (unsigned long long)all_ops(), figures.samples[0],
           figures.samples[figures.count / 2], figures.samples[figures.count - 1],
           figures.peak, figures.faults, after);
}

int main(int argc, char **argv)
{
    if (argc < 5)
        perf_die("usage: program name target threads ops [key=value ...]");
    if (argc > 5 + MAX_OPTIONS)
        perf_die("too many options");
    option_list = argv + 5;
    lane_count = (unsigned)parse(argv[3]);
    if (lane_count == 0 || lane_count > MAX_LANES)
        perf_die("threads must be 1 to 1024");
    lane_ops = parse(argv[4]) / lane_count;
    if (lane_ops == 0)
        perf_die("too few ops");
#if defined TARGET_HEAP
    perf_heap_options = perf_option("no_serialize", 0) != 0 ? HEAP_NO_SERIALIZE : 0;
    perf_heap = HeapCreate(perf_heap_options, 0, 0);
    if (perf_heap == NULL)
        perf_die("HeapCreate failed");
#endif
    perf_workload.setup();
    if (lane_count > 1)
        lanes_start();
    measure(argv[1], argv[2]);
    if (lane_count > 1)
        lanes_finish();
    return 0;
}
