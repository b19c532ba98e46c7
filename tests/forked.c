/* SPDX-License-Identifier: MIT */
/*
 * Runs a program's Criterion tests without Criterion: each in a child that is forked, two
 * at a time. Under valgrind, where Criterion's way, a start of the program for each,
 * takes a second. It has what the tests use of Criterion, no more, and speaks like it.
 *
 *     program [--but PATTERN...]      leaves out tests SUITE/NAME that match
 *     program --only PATTERN...       the same of those that do not match
 */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <fnmatch.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { AT_A_TIME = 2 };

/* Exit statuses of children; valgrind has 99. */
enum { PASSED, FAILED, SKIPPED };

/* The linker's: where each Test() leaves a pointer. */
extern struct criterion_test *__start_cr_tst[], *__stop_cr_tst[];

struct child {
    pid_t pid; /* 0: none */
    const struct criterion_test *test;
};

static struct child children[AT_A_TIME];
static unsigned passed, failed, crashed;

static const struct criterion_test *current; /* in a child */

/* What tests call. */

void criterion_internal_test_setup(void)
{
    if (current->data->init)
        current->data->init();
}

void criterion_internal_test_main(void (*test)(void))
{
    test();
}

void criterion_internal_test_teardown(void)
{
    if (current->data->fini)
        current->data->fini();
}

void criterion_abort_test(void)
{
    _exit(FAILED);
}

void criterion_skip_test(const char *format, ...)
{
    va_list values;
    va_start(values, format);
    printf("[SKIP] %s::%s: ", current->category, current->name);
    vprintf(format, values);
    va_end(values);
    putchar('\n');
    fflush(stdout);
    _exit(SKIPPED);
}

void cr_log(enum criterion_severity severity, const char *format, ...)
{
    (void)severity;
    va_list values;
    va_start(values, format);
    vfprintf(stderr, format, values);
    va_end(values);
}

void cri_assert_node_init(struct cri_assert_node *node)
{
    *node = (struct cri_assert_node){0};
}

/* The format has an x before it. */
char *cri_assert_message(const char *format, ...)
{
    static char message[1024];
    va_list values;
    va_start(values, format);
    vsnprintf(message, sizeof message, format + 1, values);
    va_end(values);
    return message;
}

void cri_assert_node_send(const char *file, size_t line, struct cri_assert_node *node)
{
    fprintf(stderr, "%s:%zu: %s\n", file, line, node->message);
}

void cri_assert_node_term(struct cri_assert_node *node)
{
    (void)node;
}

/* The tests. */

static void run(const struct criterion_test *test)
{
    current = test;
    test->test();
    fflush(NULL);
    _exit(PASSED);
}

static void count(const struct criterion_test *test, int status)
{
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    if (code == SKIPPED)
        return;
    passed += code == PASSED;
    failed += code != PASSED;
    crashed += code != PASSED && code != FAILED;
    printf("[%s] %s::%s", code == PASSED ? "PASS" : "FAIL", test->category, test->name);
    if (WIFSIGNALED(status))
        printf(": ended by signal %d", WTERMSIG(status));
    else if (code != PASSED && code != FAILED)
        printf(": exit status %d", code);
    putchar('\n');
}

static void await_one(void)
{
    int status;
    pid_t pid = wait(&status);
    for (size_t i = 0; i < AT_A_TIME; i++)
        if (children[i].pid == pid) {
            children[i].pid = 0;
            count(children[i].test, status);
        }
}

static struct child *free_place(void)
{
    for (;;) {
        for (size_t i = 0; i < AT_A_TIME; i++)
            if (!children[i].pid)
                return &children[i];
        await_one();
    }
}

static bool matches(const struct criterion_test *test, char **patterns)
{
    char name[256];
    snprintf(name, sizeof name, "%s/%s", test->category, test->name);
    for (; *patterns; patterns++)
        if (fnmatch(*patterns, name, 0) == 0)
            return true;
    return false;
}

static void begin(const struct criterion_test *test)
{
    struct child *child = free_place();
    fflush(NULL);
    pid_t pid = fork();
    if (pid < 0) {
        perror("fork");
        exit(2);
    }
    if (pid == 0)
        run(test);
    *child = (struct child){pid, test};
}

int main(int count, char **arguments)
{
    bool is_only = count > 1 && strcmp(arguments[1], "--only") == 0;
    char **patterns = arguments + (count > 1 ? 2 : 1);
    for (struct criterion_test **at = __start_cr_tst; at < __stop_cr_tst; at++) {
        const struct criterion_test *test = *at;
        if (!test) /* padding */
            continue;
        if (matches(test, patterns) == is_only)
            begin(test);
        else if (!is_only)
            printf("[SKIP] %s::%s: Test is disabled\n", test->category, test->name);
    }
    for (size_t i = 0; i < AT_A_TIME; i++)
        while (children[i].pid)
            await_one();
    printf("[====] Synthesis: Tested: %u | Passing: %u | Failing: %u | Crashing: %u\n",
           passed + failed, passed, failed, crashed);
    return failed || !passed;
}
