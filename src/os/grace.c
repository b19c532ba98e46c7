/* SPDX-License-Identifier: MIT */
#include "os/grace.h"

#include <assert.h>
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <link.h>
#include <pthread.h>
#include <urcu/static/urcu-bp.h>

#include "base/atom.h"
#include "os/barrier.h"
#include "os/thread.h"

#define LIBRARY "liburcu-bp.so.8"

/* What __tls_get_addr wants to know. */
struct tls_place {
    unsigned long module;
    unsigned long offset;
};

/* Weak: a static program need not have these. */
extern __attribute__((weak)) __typeof__(dlopen) dlopen;
extern __attribute__((weak)) __typeof__(dlsym) dlsym;
extern __attribute__((weak)) __typeof__(dlinfo) dlinfo;

/* liburcu's. Const after mole_grace_prepare, but that a fork's child lets go of it. */
static struct {
    bool is_loaded;
    bool is_ours; /* nobody else had loaded it */
    void (*read_lock)(void);
    void (*wait)(void);
    const _Atomic(unsigned long) *period;
    int *has_membarrier;
    void *(*find_tls)(struct tls_place *); /* __tls_get_addr */
    struct tls_place reader;
} urcu;
static_assert(offsetof(struct urcu_bp_gp, ctr) == 0 &&
                  offsetof(struct urcu_bp_reader, ctr) == 0 && URCU_BP_GP_COUNT == 1 &&
                  URCU_BP_GP_CTR_NEST_MASK == MOLE_GRACE_NESTING,
              "grace.h repeats how liburcu counts");

struct mole_grace_state mole_grace_state;

/*
 * Places where no reader is: of threads that liburcu does not know, one after the other
 * with each section, or must not know.
 */
static struct mole_grace_reader *unknown[MOLE_GRACE_VISITS];
static struct mole_grace_reader *nobody;

_Thread_local struct mole_grace_thread mole_grace_thread = {.place = unknown};
static _Thread_local uint16_t depth[2]; /* counted sections open, by phase */

/* The reader of the thread that forked, if it had sections open: in the child. */
static struct mole_grace_reader *carried;
static uintptr_t carried_thread; /* that thread */

/*
 * phase_a: 0 or 1, where sections are counted that open now.
 *   writers  mole_grace_wait, under its lock
 *   readers  enter
 *   orders   between fences: HB-GRACE-2
 *   keeps    two waits go through both phases
 *
 * inside_a: sections open that were counted in that phase.
 *   writers  enter, leave
 *   readers  mole_grace_wait
 *   orders   add sequentially consistent, subtract release, load acquire: HB-GRACE-1
 *   keeps    falls to 0 in a phase that is not the current one
 */
static _Atomic(unsigned) phase_a;
static _Atomic(uint64_t) inside_a[2];
static pthread_mutex_t wait_lock = PTHREAD_MUTEX_INITIALIZER;

#if defined(__SANITIZE_THREAD__)
enum { IS_VISIBLE = 0 };
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
enum { IS_VISIBLE = 0 };
#else
enum { IS_VISIBLE = 1 };
#endif
#else
enum { IS_VISIBLE = 1 };
#endif

static bool find_reader(void *library)
{
    size_t module = 0;
    void *start = NULL;
    void *reader = dlsym(library, "urcu_bp_reader");
    if (!reader || dlinfo(library, RTLD_DI_TLS_MODID, &module) != 0 ||
        dlinfo(library, RTLD_DI_TLS_DATA, &start) != 0 || !start)
        return false;
    urcu.reader.module = module;
    urcu.reader.offset = (size_t)((char *)reader - (char *)start);
    return true;
}

/* A function of the library's. Between object and function pointers, POSIX's way. */
static bool find(void *library, const char *name, void *function)
{
    *(void **)function = dlsym(library, name);
    return *(void **)function != NULL;
}

static int has_interpreter(struct dl_phdr_info *program, size_t bytes, void *result)
{
    (void)bytes;
    for (size_t i = 0; i < program->dlpi_phnum; i++)
        if (program->dlpi_phdr[i].p_type == PT_INTERP)
            *(bool *)result = true;
    return 1; /* the others are libraries */
}

/* A static program would get a second C library with liburcu. */
static bool may_load(void)
{
    bool is_dynamic = false;
    dl_iterate_phdr(has_interpreter, &is_dynamic);
    return is_dynamic && dlopen && dlsym && dlinfo && mole_barrier_all();
}

static bool load(void)
{
    if (!may_load())
        return false;
    urcu.is_ours = !dlopen(LIBRARY, RTLD_NOW | RTLD_NOLOAD);
    void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    return library && find(library, "urcu_bp_read_lock", &urcu.read_lock) &&
           find(library, "urcu_bp_synchronize_rcu", &urcu.wait) &&
           find(RTLD_DEFAULT, "__tls_get_addr", &urcu.find_tls) &&
           find(library, "urcu_bp_gp", &urcu.period) &&
           find(library, "urcu_bp_has_sys_membarrier", &urcu.has_membarrier) &&
           find_reader(library);
}

static void prepare(void)
{
    int saved = errno;
    mole_thread_find_errno();
    urcu.is_loaded = IS_VISIBLE && load();
    if (urcu.is_loaded && urcu.is_ours)
        CMM_STORE_SHARED(*urcu.has_membarrier, 0); /* see mole_grace_wait */
    mole_grace_state.period_a = urcu.period;
    errno = saved;
}

void mole_grace_prepare(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, prepare);
}

static struct mole_grace enter_counted(void)
{
    unsigned phase = load_rlx(&phase_a);
    add_seq_cst(&inside_a[phase], 1); /* HB-GRACE-2 */
    fence_seq_cst();
    depth[phase]++;
    return (struct mole_grace){.phase = phase};
}

/*
 * Whether liburcu does not know the calling thread, and may. Not in a section: a thread
 * whose reader has none open is taken for being in none.
 */
static bool may_join(void)
{
    return urcu.is_loaded && !depth[0] && !depth[1] &&
           (uintptr_t)mole_grace_thread.place - (uintptr_t)unknown < sizeof unknown;
}

/* Have liburcu know the calling thread. It is in a section then. */
static void join_urcu(void)
{
    mole_grace_thread.place = &nobody; /* while liburcu itself allocates */
    urcu.read_lock();
    mole_grace_thread.place = urcu.find_tls(&urcu.reader);
}

/* A section inside another one, one of a thread's first, or one that is to be counted. */
struct mole_grace mole_grace_enter_slow(void)
{
    struct mole_grace_reader *reader = *mole_grace_thread.place;
    if (reader) {
        store_rlx(&reader->open_a, load_rlx(&reader->open_a) + 1);
        return (struct mole_grace){.reader = reader};
    }
    /* A thread that had a reader and has none any more is ending. */
    if (!may_join())
        return enter_counted();
    if (mole_grace_thread.place < &unknown[MOLE_GRACE_VISITS - 1]) {
        mole_grace_thread.place++;
        return enter_counted();
    }
    join_urcu();
    return (struct mole_grace){.reader = *mole_grace_thread.place};
}

void mole_grace_leave_slow(struct mole_grace section)
{
    depth[section.phase]--;
    sub_rel(&inside_a[section.phase], 1); /* HB-GRACE-1 */
}

void mole_grace_introduce(void)
{
    if (!may_join())
        return;
    join_urcu();
    mole_grace_leave((struct mole_grace){.reader = *mole_grace_thread.place});
}

static bool is_open(struct mole_grace_reader *reader)
{
    return reader && load_acq(&reader->open_a) & MOLE_GRACE_NESTING; /* HB-GRACE-1 */
}

bool mole_grace_is_inside(void)
{
    return depth[0] || depth[1] || is_open(*mole_grace_thread.place) ||
           (carried_thread == mole_thread_self() && is_open(carried));
}

/*
 * Both phases once: a section that read the old phase just before it changed is met in
 * the second.
 */
static void wait_for_counted(void)
{
    for (int i = 0; i < 2; i++) {
        unsigned phase = load_rlx(&phase_a);
        fence_seq_cst(); /* HB-GRACE-2 */
        store_rlx(&phase_a, !phase);
        fence_seq_cst();
        for (unsigned turns = 0; load_acq(&inside_a[phase]); turns++) /* HB-GRACE-1 */
            turns < 1000 ? mole_thread_yield() : mole_thread_sleep_ms(1);
    }
}

/* Of the thread that forked: sections it had open then. */
static void wait_for_carried(void)
{
    for (unsigned turns = 0; is_open(carried); turns++)
        turns < 1000 ? mole_thread_yield() : mole_thread_sleep_ms(1);
}

/*
 * One thread at a time: when the barrier is denied, others must not wait in liburcu
 * without it before the drain has ended.
 *
 * One barrier is all that readers without a fence need: who had begun by then is seen by
 * liburcu, which waits for it; who begins later sees what was done before the call.
 * liburcu itself does without membarrier, for it ends the process when a filter denies
 * that in the middle of a grace period; unless the program uses it, too.
 */
void mole_grace_wait(void)
{
    pthread_mutex_lock(&wait_lock);
    if (urcu.is_loaded) {
        if (!mole_barrier_all() && !load_rlx(&mole_grace_state.is_fenced_a)) {
            store_rlx(&mole_grace_state.is_fenced_a, true);
            CMM_STORE_SHARED(*urcu.has_membarrier, 0);
            mole_barrier_drain();
        }
        urcu.wait();
    }
    wait_for_counted();
    wait_for_carried();
    pthread_mutex_unlock(&wait_lock);
}

void mole_grace_end_thread(void)
{
    mole_grace_thread.place = &nobody;
}

/*
 * At the thread's end liburcu would take a lock that a vanished thread may have held: it
 * is not told of that end.
 */
static void forget_reader(const void *reader)
{
    for (pthread_key_t key = 0; key < PTHREAD_KEYS_MAX; key++)
        if (pthread_getspecific(key) == reader)
            pthread_setspecific(key, NULL);
}

/*
 * liburcu's own state may be torn in the child, where nobody holds what guarded it: from
 * here on sections are counted. Its fork handlers would avoid that by waiting for a grace
 * period under way, so that a callback which forks might wait for itself.
 */
void mole_grace_repair(void)
{
    struct mole_grace_reader *reader = *mole_grace_thread.place;
    pthread_mutex_init(&wait_lock, NULL);
    if (is_open(reader))
        carried = reader, carried_thread = mole_thread_self();
    else if (carried_thread != mole_thread_self())
        carried = NULL; /* that thread is not here */
    if (reader && urcu.is_ours)
        forget_reader(reader);
    urcu.is_loaded = false;
    mole_grace_thread.place = unknown;
    store_rlx(&inside_a[0], depth[0]);
    store_rlx(&inside_a[1], depth[1]);
}
