/* SPDX-License-Identifier: MIT */
#include "control/modules.h"

#include <dlfcn.h>
#include <limits.h>
#include <molehill/spy_module.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/atom.h"

enum { MOST = 16, NAME_BYTES = 64, ERROR_BYTES = 256 };

/* What the object's names are declared to be. */
typedef __typeof__(mh_spy_module_start) start_function;
typedef __typeof__(mh_spy_module_stop) stop_function;

struct module {
    uint64_t id; /* 0: the place is free */
    void *object;
    const unsigned *version;
    start_function *start;
    stop_function *stop;
    void *heap;
    time_t since;
    char name[NAME_BYTES];
    char file[PATH_MAX];

    /*
     * spy_a: what is attached.
     *   writers  the control thread
     *   readers  the thread that exits
     *   orders   relaxed: its value is a key, nothing is read through it
     *   keeps    NULL before it is attached and once it is detached
     */
    _Atomic(const struct mh_spy *) spy_a;
};

static struct module modules[MOST]; /* the control thread's, but for spy_a */

static struct module *free_place(void)
{
    for (size_t i = 0; i < MOST; i++)
        if (!modules[i].id)
            return &modules[i];
    return NULL;
}

static const struct module *find_object(const void *object)
{
    for (size_t i = 0; i < MOST; i++)
        if (modules[i].id && modules[i].object == object)
            return &modules[i];
    return NULL;
}

/* Find the names in the object. False: it is no spy module, or one for another molehill.
 */
static bool look_up(struct module *module, struct mole_reply *reply)
{
    void *object = module->object;
    module->version = dlsym(object, "mh_spy_module_version");
    *(void **)&module->start = dlsym(object, "mh_spy_module_start");
    *(void **)&module->stop = dlsym(object, "mh_spy_module_stop");
    if (!module->version || !module->start || !module->stop) {
        mole_reply_fail(reply, "%s is no spy module: it lacks %s", module->file,
                        !module->version ? "mh_spy_module_version"
                        : !module->start ? "mh_spy_module_start"
                                         : "mh_spy_module_stop");
        return false;
    }
    if (*module->version != MH_SPY_MODULE_VERSION) {
        mole_reply_fail(reply, "%s is a spy module of version %u, this is version %d",
                        module->file, *module->version, MH_SPY_MODULE_VERSION);
        return false;
    }
    return true;
}

static bool load(struct module *module, struct mole_reply *reply)
{
    /*
     * By its name, which a static program does not find: it would get a second libc. And
     * it is linked without a warning about that.
     */
    void *(*open_library)(const char *, int);
    *(void **)&open_library = dlsym(RTLD_DEFAULT, "dlopen");
    if (!open_library) {
        mole_reply_fail(reply, "a static program loads no spies");
        return false;
    }
    module->object = open_library(module->file, RTLD_NOW | RTLD_LOCAL);
    if (!module->object) {
        const char *why = dlerror();
        mole_reply_fail(reply, "%s", why ? why : "dlopen fails");
        return false;
    }
    const struct module *other = find_object(module->object);
    if (other) {
        mole_reply_fail(reply, "%s is attached already, as %llu", module->file,
                        (unsigned long long)other->id);
        dlclose(module->object);
        return false;
    }
    if (look_up(module, reply))
        return true;
    dlclose(module->object);
    return false;
}

static const char *words_for(int result)
{
    switch (result) {
    case MH_INVALID:
        return "the spy or its heap is not valid";
    case MH_NO_MEMORY:
        return "out of memory";
    case MH_ATTACHED:
        return "the spy is attached already";
    default:
        return "it is not possible now";
    }
}

static void discard(void *to, const char *text, size_t bytes)
{
    (void)to;
    (void)text;
    (void)bytes;
}

/* The spy's own name, or the file's; without what would spoil a line. */
static void set_name(struct module *module, const struct mh_spy *spy)
{
    const char *slash = strrchr(module->file, '/');
    const char *name = spy->name && spy->name[0] ? spy->name : slash + 1;
    snprintf(module->name, sizeof module->name, "%s", name);
    for (char *c = module->name; *c; c++)
        if (*c <= ' ' || *c == '\x7f')
            *c = '_';
}

/* Start the loaded object and attach its spy. */
static bool start(struct module *module, const char *args, struct mole_reply *reply)
{
    char error[ERROR_BYTES] = "";
    module->heap = MH_SPY_MALLOC;
    const struct mh_spy *spy = module->start(args, &module->heap, error, sizeof error);
    if (!spy) {
        error[sizeof error - 1] = '\0';
        mole_reply_fail(reply, "%s did not start%s%s", module->file, error[0] ? ": " : "",
                        error);
        return false;
    }
    int result = mh_spy_attach(spy, module->heap);
    if (result != 0) {
        module->stop(discard, NULL);
        mole_reply_fail(reply, "%s cannot be attached: %s", module->file,
                        words_for(result));
        return false;
    }
    store_rlx(&module->spy_a, spy);
    set_name(module, spy);
    return true;
}

void mole_modules_attach(const char *file, const char *args, struct mole_reply *reply)
{
    static uint64_t last_id;
    struct module *module = free_place();
    if (file[0] != '/' || strlen(file) >= sizeof module->file) {
        mole_reply_fail(reply, "not an absolute path: %s", file);
        return;
    }
    if (!module) {
        mole_reply_fail(reply, "%d spies are attached, there is no place for more", MOST);
        return;
    }
    memcpy(module->file, file, strlen(file) + 1);
    if (!load(module, reply))
        return;
    if (!start(module, args, reply)) {
        dlclose(module->object);
        return;
    }
    module->id = ++last_id;
    module->since = time(NULL);
    mole_reply_print(reply, "%llu %s\n", (unsigned long long)module->id, module->name);
}

/* By id or name; NULL, and the reply says why: none, or several. */
static struct module *find(const char *which, struct mole_reply *reply)
{
    struct module *found = NULL;
    for (size_t i = 0; i < MOST; i++) {
        struct module *module = &modules[i];
        char id[24];
        snprintf(id, sizeof id, "%llu", (unsigned long long)module->id);
        if (!module->id)
            continue;
        if (strcmp(which, id) == 0)
            return module;
        if (strcmp(which, module->name) != 0)
            continue;
        if (found) {
            mole_reply_fail(reply, "several spies are called %s: give the id", which);
            return NULL;
        }
        found = module;
    }
    if (!found)
        mole_reply_fail(reply, "no spy %s is attached", which);
    return found;
}

static void write_to_reply(void *reply, const char *text, size_t bytes)
{
    mole_reply_put(reply, text, bytes);
}

void mole_modules_detach(const char *which, struct mole_reply *reply)
{
    struct module *module = find(which, reply);
    if (!module)
        return;
    int result = mh_spy_detach(load_rlx(&module->spy_a));
    if (result == MH_DETACHED) /* by itself, and perhaps from inside a callback */
        result = mh_spy_wait();
    if (result != 0) {
        mole_reply_fail(reply, "%s cannot be detached: %s", module->name,
                        words_for(result));
        return;
    }
    store_rlx(&module->spy_a, NULL);
    module->id = 0; /* first: a fork's child must not find what is about to go */
    module->stop(write_to_reply, reply);
    dlclose(module->object);
}

static void list_one(const struct module *module, struct mole_reply *reply)
{
    struct tm when;
    char since[32] = "?";
    if (gmtime_r(&module->since, &when))
        strftime(since, sizeof since, "%Y-%m-%dT%H:%M:%SZ", &when);
    char heap[32] = "malloc";
    if (module->heap == MH_SPY_ALL)
        snprintf(heap, sizeof heap, "all");
    else if (module->heap != MH_SPY_MALLOC)
        snprintf(heap, sizeof heap, "%p", module->heap);
    mole_reply_print(reply, "%-4llu %-16s %-14s %s %s\n", (unsigned long long)module->id,
                     module->name, heap, since, module->file);
}

void mole_modules_list(struct mole_reply *reply)
{
    mole_reply_print(reply, "%-4s %-16s %-14s %-20s %s\n", "ID", "NAME", "ON", "SINCE",
                     "FILE");
    for (size_t i = 0; i < MOST; i++)
        if (modules[i].id)
            list_one(&modules[i], reply);
}

void mole_modules_leave(void)
{
    for (size_t i = 0; i < MOST; i++) {
        const struct mh_spy *spy = load_rlx(&modules[i].spy_a);
        if (spy)
            (void)mh_spy_detach(spy);
    }
}
