/* SPDX-License-Identifier: MIT */
/*
 * A spy in a shared object, which the command `molehill` attaches to a running process
 * and detaches from it:
 *
 *   molehill attach PROCESS ./my-spy.so ARGUMENT...
 *   molehill detach PROCESS my-spy
 *
 * The object defines the three names below. It is loaded, started, asked to report and
 * unloaded by a thread of molehill's own in that process, one at a time; only the spy's
 * callbacks run on the program's threads. When mh_spy_module_stop is called the spy is
 * detached: no thread is inside it. The object is unloaded right after, so no thread of
 * its own may be left.
 *
 * At the process's exit the spy is detached, and mh_spy_module_stop is not called. After
 * fork the child has the spy still attached, but no control unless it asks for that.
 */
#pragma once

#include <stddef.h>

#include "spy.h"

#ifdef __cplusplus
extern "C" {
#endif

#define MH_SPY_MODULE_VERSION 1

/* Define it with MH_SPY_MODULE_VERSION: what the object was compiled for. */
extern MH_API const unsigned mh_spy_module_version;

/*
 * Set the spy up.
 *
 *   args         what was given to the command after the object's name, one space between
 *                two arguments; "" for none. Gone after the call.
 *   heap         where to attach: MH_SPY_MALLOC unless changed to MH_SPY_ALL or a handle
 *   error        room for one line, to be filled on failure
 *   error_bytes  how much room, at least 256
 *   returns      the spy, its `name` set, which stays until it is stopped; or NULL
 *   threads      called by molehill's own thread
 */
MH_API const struct mh_spy *mh_spy_module_start(const char *args, void **heap,
                                                char *error, size_t error_bytes);

/*
 * Report and clean up. Not called when mh_spy_module_start returned NULL.
 *
 *   write    call it, any number of times, for text that the command prints; 1 MiB is
 *            kept
 *   to       its first argument
 *   threads  called by molehill's own thread
 */
MH_API void mh_spy_module_stop(void (*write)(void *to, const char *text, size_t bytes),
                               void *to);

#ifdef __cplusplus
}
#endif
