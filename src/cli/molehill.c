/* SPDX-License-Identifier: MIT */
/*
 * The command `molehill`: attach spies to a running process, detach them, list them. What
 * it does happens in that process (control/control.h); this only asks for it.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/process.h"
#include "cli/talk.h"

/* The command's exit status, as its man page has it. */
enum {
    DONE = 0,
    REFUSED = 1,     /* the process said no */
    USAGE = 2,       /* so cannot be asked for */
    UNREACHABLE = 3, /* no answer */
};

enum { WHY_BYTES = 4352 };

static const char usage[] = "usage: molehill attach PROCESS SPY.so [ARGUMENT...]\n"
                            "       molehill detach PROCESS SPY\n"
                            "       molehill list PROCESS\n"
                            "       molehill --help | --version\n";

static const char help[] =
    "\n"
    "Attach spies to a running process, and detach them.\n"
    "\n"
    "  attach  load SPY.so in the process and attach the spy in it; prints its id and\n"
    "          name. A name without a slash that is no file here is looked for in\n"
    "          " MOLE_MODULES_DIR "\n"
    "  detach  detach the spy of that id or name, print its report, unload it\n"
    "  list    the spies that are attached by this command\n"
    "\n"
    "PROCESS is the id of a process that was started on libmolehill-malloc with\n"
    "MOLEHILL_CONF=control:PATH, or the path of its socket. Only processes of the same\n"
    "user listen.\n"
    "\n"
    "Exit status: 0 done; 1 the process refused; 2 wrong usage; 3 no answer.\n";

static const char cannot_write[] = "what there is to say cannot be written";

static int fail(int status, const char *what)
{
    fprintf(stderr, "molehill: %s\n", what);
    return status;
}

static int fail_usage(void)
{
    fputs(usage, stderr);
    return USAGE;
}

/* Add a word to the request, with `before` in front of it. */
static bool add(char *request, char before, const char *word)
{
    size_t length = strlen(request);
    if (strpbrk(word, "\t\n") || length + 1 + strlen(word) + 2 > REQUEST_MAX)
        return false;
    request[length] = before;
    memcpy(request + length + 1, word, strlen(word) + 1);
    return true;
}

/* The object as an absolute path: the process may be in another directory. */
static bool find_object(const char *name, char *path)
{
    if (realpath(name, path))
        return true;
    int code = errno;
    if (!strchr(name, '/')) {
        char file[PATH_MAX];
        snprintf(file, sizeof file, "%s/%s", MOLE_MODULES_DIR, name);
        if (realpath(file, path))
            return true;
    }
    errno = code;
    return false;
}

static int ask(const char *process, char *request)
{
    struct target target;
    struct answer answer;
    char why[WHY_BYTES];
    size_t length = strlen(request); /* there is room: add saw to that */
    request[length] = '\n';
    request[length + 1] = '\0';
    if (!find_target(process, &target, why, sizeof why) ||
        !talk(&target, request, &answer, why, sizeof why))
        return fail(UNREACHABLE, why);
    FILE *to = answer.is_error ? stderr : stdout;
    if (answer.is_error)
        fputs("molehill: ", to);
    bool is_written = fwrite(answer.text, 1, answer.bytes, to) == answer.bytes;
    is_written = fflush(to) == 0 && is_written;
    free(answer.text);
    if (answer.is_error)
        return REFUSED;
    return is_written ? DONE : fail(UNREACHABLE, cannot_write);
}

static int attach(int count, char **words)
{
    char request[REQUEST_MAX] = "attach";
    char path[PATH_MAX];
    if (count < 2)
        return fail_usage();
    if (!find_object(words[1], path)) {
        snprintf(request, sizeof request, "%s: %s", words[1], strerror(errno));
        return fail(USAGE, request);
    }
    bool is_good = add(request, '\t', path);
    for (int i = 2; i < count; i++)
        is_good = is_good && add(request, i == 2 ? '\t' : ' ', words[i]);
    return is_good ? ask(words[0], request)
                   : fail(USAGE, "too long, or a tab or a newline in it");
}

static int detach(int count, char **words)
{
    char request[REQUEST_MAX] = "detach";
    if (count != 2)
        return fail_usage();
    return add(request, '\t', words[1])
               ? ask(words[0], request)
               : fail(USAGE, "too long, or a tab or a newline in it");
}

static int list(int count, char **words)
{
    char request[REQUEST_MAX] = "list";
    return count == 1 ? ask(words[0], request) : fail_usage();
}

static int say(const char *first, const char *second)
{
    bool is_said = fputs(first, stdout) >= 0 && fputs(second, stdout) >= 0;
    return fflush(stdout) == 0 && is_said ? DONE : fail(UNREACHABLE, cannot_write);
}

int main(int count, char **words)
{
    const char *what = count > 1 ? words[1] : "";
    if (strcmp(what, "attach") == 0)
        return attach(count - 2, words + 2);
    if (strcmp(what, "detach") == 0)
        return detach(count - 2, words + 2);
    if (strcmp(what, "list") == 0)
        return list(count - 2, words + 2);
    if (count == 2 && strcmp(what, "--version") == 0)
        return say("molehill " MOLE_VERSION "\n", "");
    if (count == 2 && (strcmp(what, "--help") == 0 || strcmp(what, "-h") == 0))
        return say(usage, help);
    return fail_usage();
}
