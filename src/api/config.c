/* SPDX-License-Identifier: MIT */
/*
 * MOLEHILL_CONF and mh_configure: "key:value,key:value".
 *
 *   compat:documents | compat:windows   which contract failures follow (last_error.h)
 *   global_flag:BITS                    checks of all heaps, as Windows' GlobalFlag has
 *                                       them (arena/guard.h)
 *   huge_pages:off | huge_pages:on      whether the kernel may use huge pages for blocks
 *   purger:thread | purger:calls        give memory back by a thread of our own, once
 *                                       there are others; or only when something is freed
 *   unhandled:abort | unhandled:return  what an exception that nobody catches does
 *   control:PATH                        listen at PATH to the command molehill; PATH is
 *                                       absolute, %p in it the process's id
 *   stats:PATH                          append one line of counters to PATH at exit, or
 *                                       tell on stderr that it cannot be done
 */
#include "api/config.h"

#include <errno.h>
#include <molehill/molehill.h>
#include <stdlib.h>
#include <string.h>

#include "api/exception.h"
#include "api/last_error.h"
#include "api/stats.h"
#include "arena/guard.h"
#include "arena/region.h"
#include "base/check.h"
#include "tcache/process.h"
#include "tcache/purger.h"
#include "tcache/thread.h"

struct option {
    const char *key;
    size_t key_length;
    const char *value;
    size_t value_length;
};

/* Split the option at the start of `conf` off; NULL: it has no colon. */
static const char *next_option(const char *conf, struct option *option)
{
    size_t length = strcspn(conf, ",");
    const char *colon = memchr(conf, ':', length);
    if (!colon)
        return NULL;
    option->key = conf;
    option->key_length = (size_t)(colon - conf);
    option->value = colon + 1;
    option->value_length = length - option->key_length - 1;
    conf += length;
    return *conf == ',' ? conf + 1 : conf;
}

static bool is(const char *text, size_t length, const char *word)
{
    return strlen(word) == length && memcmp(text, word, length) == 0;
}

static bool is_value(const struct option *option, const char *word)
{
    return is(option->value, option->value_length, word);
}

/* Whose library is not loaded has no control; both under the client's care. */
static char control_path[MOLE_CONTROL_PATH_MAX];
static void (*control_open)(const char *path);

void mole_config_on_control(void (*open)(const char *path))
{
    control_open = open;
    if (control_path[0])
        control_open(control_path);
}

/* %p is all that stands for something. */
static bool is_control_path(const struct option *option)
{
    const char *end = option->value + option->value_length;
    const char *sign = option->value;
    while ((sign = memchr(sign, '%', (size_t)(end - sign)))) {
        sign++;
        if (sign == end || *sign != 'p')
            return false;
    }
    return option->value_length > 1 && option->value_length < MOLE_CONTROL_PATH_MAX &&
           option->value[0] == '/';
}

static bool take_control(const struct option *option, bool apply)
{
    if (!is_control_path(option))
        return false;
    if (!apply)
        return true;
    memcpy(control_path, option->value, option->value_length);
    control_path[option->value_length] = '\0';
    if (control_open)
        control_open(control_path);
    return true;
}

/* Windows' GlobalFlag, as 0x and hexadecimal digits, or decimal. */
static bool take_global_flag(const struct option *option, bool apply)
{
    bool is_hex = option->value_length > 2 && memcmp(option->value, "0x", 2) == 0;
    uint64_t flags = 0;
    for (size_t i = is_hex ? 2 : 0; i < option->value_length; i++) {
        const char *digits = "0123456789abcdef";
        const char *digit = strchr(digits, option->value[i] | (is_hex ? 0x20 : 0));
        unsigned base = is_hex ? 16 : 10;
        if (!digit || *digit == '\0' || digit - digits >= (ptrdiff_t)base)
            return false;
        flags = flags * base + (uint64_t)(digit - digits);
        if (flags > UINT32_MAX)
            return false;
    }
    if (apply) {
        mole_guard_set_global((uint32_t)flags);
        if (mole_process_start())
            (void)mole_guard_take_up(mole_process_heap());
    }
    return option->value_length > 0;
}

static bool take_compat(const struct option *option, bool apply)
{
    bool is_windows = is_value(option, "windows");
    if (!is_windows && !is_value(option, "documents"))
        return false;
    if (apply)
        mole_last_error_set_compat(is_windows);
    return true;
}

static bool take_huge_pages(const struct option *option, bool apply)
{
    bool on = is_value(option, "on");
    if (!on && !is_value(option, "off"))
        return false;
    if (apply && mole_process_start())
        mole_region_set_huge(on);
    return true;
}

static bool take_purger(const struct option *option, bool apply)
{
    bool by_thread = is_value(option, "thread");
    if (!by_thread && !is_value(option, "calls"))
        return false;
    if (apply)
        mole_purger_allow(by_thread);
    return true;
}

static bool take_unhandled(const struct option *option, bool apply)
{
    bool by_return = is_value(option, "return");
    if (!by_return && !is_value(option, "abort"))
        return false;
    if (apply)
        mole_exception_set_returning(by_return);
    return true;
}

static bool take_stats(const struct option *option, bool apply)
{
    if (option->value_length == 0 || option->value_length >= MOLE_STATS_PATH_MAX)
        return false;
    if (apply)
        mole_stats_write_at_exit(option->value, option->value_length);
    return true;
}

/* Each checks an option's value, and applies it on demand. */
static const struct {
    const char *key;
    bool (*take)(const struct option *option, bool apply);
} takers[] = {
    {"compat", take_compat},         {"global_flag", take_global_flag},
    {"huge_pages", take_huge_pages}, {"purger", take_purger},
    {"unhandled", take_unhandled},   {"control", take_control},
    {"stats", take_stats},
};

static bool take(const struct option *option, bool apply)
{
    for (size_t i = 0; i < sizeof takers / sizeof *takers; i++)
        if (is(option->key, option->key_length, takers[i].key))
            return takers[i].take(option, apply);
    return false;
}

/*
 * Go through all options; with `apply` after a pass without. NULL, or the first bad one.
 */
static const char *take_all(const char *conf, bool apply)
{
    struct option option;
    while (*conf) {
        const char *next = next_option(conf, &option);
        if (!next || !take(&option, apply))
            return conf;
        conf = next;
    }
    return NULL;
}

/* NULL, or the first bad option; then nothing was applied. */
static const char *configure(const char *conf)
{
    const char *bad = take_all(conf, false);
    if (!bad)
        (void)take_all(conf, true);
    return bad;
}

int mh_configure(const char *conf)
{
    if (!conf || configure(conf)) {
        errno = EINVAL;
        return -1;
    }
    return 0;
}

__attribute__((constructor)) static void read_environment(void)
{
    int saved = errno;
    /* Before there is a second thread, so that no fork meets us half started. */
    (void)!mole_process_start();
    const char *conf = secure_getenv("MOLEHILL_CONF");
    const char *bad = conf ? configure(conf) : NULL;
    if (bad)
        mole_warn("MOLEHILL_CONF ignored, it has an unknown key or value: %s", bad);
    errno = saved;
}
