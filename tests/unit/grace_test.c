/* SPDX-License-Identifier: MIT */
/*
 * Sections and grace periods: a wait ends when the sections that were open at its begin
 * are closed. In threads with a reader of liburcu's, in threads that are counted, and in
 * processes where all are. That a thread waits is shown by its state, and by the order of
 * events.
 */
#include <sys/wait.h>

#include "unit.h"

#include "../api/asleep.h"
#include "os/grace.h"

/* A thread that does what it is told. */
enum order { NOTHING, ENTER, LEAVE, WAIT, END };

struct actor {
    bool is_counted; /* as a thread that is ending */
    _Atomic(int) order, done, tid;
    _Atomic(bool) is_inside;
    struct mole_grace sections[8];
    size_t depth;
    pthread_t thread;
};

static void act(struct actor *actor, int order)
{
    if (order == ENTER)
        actor->sections[actor->depth++] = mole_grace_enter();
    if (order == LEAVE)
        mole_grace_leave(actor->sections[--actor->depth]);
    if (order == WAIT)
        mole_grace_wait();
    atomic_store(&actor->is_inside, mole_grace_is_inside());
}

static void *actor_main(void *argument)
{
    struct actor *actor = argument;
    atomic_store(&actor->tid, (int)syscall(SYS_gettid));
    if (actor->is_counted)
        mole_grace_end_thread();
    for (int order = NOTHING; order != END; pause_shortly()) {
        order = atomic_exchange(&actor->order, NOTHING);
        if (order == NOTHING)
            continue;
        act(actor, order);
        atomic_fetch_add(&actor->done, 1);
    }
    return NULL;
}

static void begin_actor(struct actor *actor, bool is_counted)
{
    memset(actor, 0, sizeof *actor);
    actor->is_counted = is_counted;
    require(pthread_create(&actor->thread, NULL, actor_main, actor) == 0, "no thread");
}

static void tell(struct actor *actor, int order)
{
    atomic_store(&actor->order, order);
}

/* Told, and done. */
static void let(struct actor *actor, int order)
{
    int done = atomic_load(&actor->done);
    tell(actor, order);
    while (atomic_load(&actor->done) == done)
        pause_shortly();
}

static void end_actor(struct actor *actor)
{
    tell(actor, END);
    pthread_join(actor->thread, NULL);
}

/* It took the order, and sleeps again and again without having done it. */
static void expect_waiting(struct actor *actor, int done)
{
    size_t asleep = 0;
    for (size_t i = 0; i < 60000 && asleep < 20; i++) {
        require(atomic_load(&actor->done) == done, "it did not wait");
        asleep +=
            atomic_load(&actor->order) == NOTHING && is_asleep(atomic_load(&actor->tid));
        pause_shortly();
    }
    require(asleep == 20 && atomic_load(&actor->done) == done, "it did not wait");
}

static struct actor reader, later, waiter;

/* While `reader` has sections open, a wait does not end. */
static void expect_to_wait_for(bool is_counted, bool is_later_counted, size_t nesting)
{
    begin_actor(&reader, is_counted);
    begin_actor(&later, is_later_counted);
    begin_actor(&waiter, false);
    for (size_t i = 0; i < nesting; i++)
        let(&reader, ENTER);
    require(atomic_load(&reader.is_inside), "the reader does not know where it is");
    int done = atomic_load(&waiter.done);
    tell(&waiter, WAIT);
    expect_waiting(&waiter, done);
    let(&later, ENTER); /* opens and closes as if nobody waited */
    let(&later, LEAVE);
    for (size_t i = 1; i < nesting; i++) {
        let(&reader, LEAVE);
        require(atomic_load(&reader.is_inside), "an inner section closed the outer one");
        expect_waiting(&waiter, done);
    }
    let(&reader, LEAVE);
    require(!atomic_load(&reader.is_inside), "the reader is still inside");
    while (atomic_load(&waiter.done) == done)
        pause_shortly();
    let(&waiter, WAIT);
    end_actor(&reader);
    end_actor(&later);
    end_actor(&waiter);
}

Test(grace, a_wait_asks_for_sections_that_are_open)
{
    mole_grace_prepare();
    expect_to_wait_for(false, false, 1);
    expect_to_wait_for(false, false, 4);
}

Test(grace, a_wait_asks_for_counted_sections)
{
    mole_grace_prepare();
    expect_to_wait_for(true, true, 1);
    expect_to_wait_for(true, false, 4);
    expect_to_wait_for(false, true, 2);
}

/* Without mole_grace_prepare liburcu is not there: all are counted. */
Test(grace, without_liburcu_all_are_counted)
{
    expect_to_wait_for(false, false, 1);
    expect_to_wait_for(true, false, 4);
}

Test(grace, sections_of_one_thread_nest)
{
    struct mole_grace sections[50];
    mole_grace_prepare();
    for (size_t turn = 0; turn < 3; turn++) {
        require(!mole_grace_is_inside(), "inside before the first");
        for (size_t i = 0; i < LENGTH(sections); i++) {
            sections[i] = mole_grace_enter();
            require(mole_grace_is_inside(), "not inside");
        }
        for (size_t i = LENGTH(sections); i-- > 0;) {
            require(mole_grace_is_inside(), "not inside any more");
            mole_grace_leave(sections[i]);
        }
        require(!mole_grace_is_inside(), "inside after the last");
        mole_grace_wait();
        if (turn == 1)
            mole_grace_end_thread(); /* and once more, counted */
    }
}

/* A thread that begins to end inside a section closes that one as it was opened. */
Test(grace, a_thread_may_end_with_a_section_open)
{
    mole_grace_prepare();
    struct mole_grace outer = mole_grace_enter();
    mole_grace_end_thread();
    struct mole_grace inner = mole_grace_enter();
    require(mole_grace_is_inside(), "not inside");
    mole_grace_leave(inner);
    mole_grace_leave(outer);
    require(!mole_grace_is_inside(), "still inside");
    mole_grace_wait();
}

/* Readers come and go all the time; waits end, and what was taken back is not read. */
enum { READERS = 3, PLACES = 4 };

static _Atomic(_Atomic(int) *) current;
static _Atomic(int) places[PLACES];
static _Atomic(bool) is_over;
static _Atomic(uint64_t) looks;

static const char *look(struct worker *worker)
{
    uint64_t count = 0;
    if (worker->index % 2)
        mole_grace_end_thread();
    for (; !atomic_load(&is_over); count++) {
        struct mole_grace section = mole_grace_enter();
        _Atomic(int) *place = atomic_load_explicit(&current, memory_order_acquire);
        bool is_good = atomic_load_explicit(place, memory_order_relaxed) == 1;
        if (count % 16 == 0)
            sched_yield(); /* stays a little */
        is_good = is_good && atomic_load_explicit(place, memory_order_relaxed) == 1;
        mole_grace_leave(section);
        answer_unless(is_good, "a place was taken back while it was read");
        atomic_fetch_add(&looks, 1);
    }
    return NULL;
}

static const char *replace(struct worker *worker)
{
    (void)worker;
    uint64_t least = repeats(20000);
    for (size_t i = 1; i < repeats(300) + 20 || atomic_load(&looks) < least; i++) {
        answer_unless(!atomic_load(&is_over), "a reader gave up");
        _Atomic(int) *old = atomic_load(&current);
        atomic_store(&places[i % PLACES], 1);
        atomic_store(&current, &places[i % PLACES]);
        mole_grace_wait();
        atomic_store(old, 0);
    }
    return NULL;
}

static const char *look_or_replace(struct worker *worker)
{
    const char *failure = worker->index < READERS ? look(worker) : replace(worker);
    atomic_store(&is_over, true);
    return failure;
}

static void replace_under_readers(void)
{
    atomic_store(&places[0], 1);
    atomic_store(&current, &places[0]);
    run_workers(READERS + 1, look_or_replace, NULL);
}

Test(grace, what_was_replaced_before_a_wait_is_read_by_nobody_after_it)
{
    mole_grace_prepare();
    replace_under_readers();
}

Test(grace, the_same_without_liburcu)
{
    replace_under_readers();
}

/* In a fork's child sections of threads it does not have are not waited for. */
Test(grace, a_forks_child_waits_for_its_own_sections_only)
{
    for (int is_counted = 0; is_counted < 2; is_counted++) {
        mole_grace_prepare();
        begin_actor(&reader, is_counted);
        let(&reader, ENTER);
        struct mole_grace mine = mole_grace_enter();
        pid_t child = fork();
        if (child == 0) {
            mole_grace_repair();
            bool is_right = mole_grace_is_inside();
            struct mole_grace inner = mole_grace_enter();
            mole_grace_leave(inner);
            is_right = is_right && mole_grace_is_inside();
            mole_grace_leave(mine);
            is_right = is_right && !mole_grace_is_inside();
            mole_grace_wait(); /* ends, although the reader's section never will */
            _exit(is_right ? 0 : 1);
        }
        mole_grace_leave(mine);
        int status = 0;
        require(child > 0 && waitpid(child, &status, 0) == child, "no child");
        require(status == 0, "the child ended with %d", status);
        let(&reader, LEAVE);
        end_actor(&reader);
    }
}
