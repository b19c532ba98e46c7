/* SPDX-License-Identifier: MIT */
#include "control/control.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/config.h"
#include "base/atom.h"
#include "base/check.h"
#include "control/listener.h"
#include "control/message.h"
#include "control/modules.h"
#include "os/thread.h"

/*
 * peer_a: the connection that is being served; -1: none.
 *   writers  the control thread; a fork's child
 *   readers  a fork's child
 *   orders   relaxed: the child is a copy of what the forking thread saw
 *   keeps    open, and the control thread's
 */
static _Atomic(int) peer_a = -1;

static void answer(const struct mole_request *request, struct mole_reply *reply)
{
    const char *what = request->word[0];
    if (strcmp(what, "attach") == 0)
        mole_modules_attach(request->word[1], request->word[2], reply);
    else if (strcmp(what, "detach") == 0)
        mole_modules_detach(request->word[1], reply);
    else if (strcmp(what, "list") == 0)
        mole_modules_list(reply);
    else
        mole_reply_fail(reply, "no such request: %.40s", what);
}

static void serve(int peer, bool is_allowed)
{
    static struct mole_request request; /* the control thread's */
    struct mole_reply reply = {.text = NULL};
    const char *why = NULL;
    bool is_whole = mole_request_receive(peer, &request, &why);
    if (!is_allowed)
        mole_reply_fail(&reply, "only user %ld is listened to", (long)geteuid());
    else if (is_whole)
        answer(&request, &reply);
    else if (why)
        mole_reply_fail(&reply, "%s", why);
    else
        return;
    mole_reply_send(peer, &reply);
    mole_reply_finish(&reply);
}

static void run_control(void)
{
    bool is_allowed;
    int peer;
    while ((peer = mole_listener_accept(&is_allowed)) >= 0) {
        store_rlx(&peer_a, peer);
        serve(peer, is_allowed);
        store_rlx(&peer_a, -1);
        close(peer);
    }
}

static bool is_open; /* under the care of who configures */

/* The parent goes on listening; what the child has inherited of that must not. */
static void in_child_of_fork(void)
{
    is_open = false;
    int peer = load_rlx(&peer_a);
    mole_listener_forget();
    if (peer >= 0)
        close(peer);
    store_rlx(&peer_a, -1);
}

static void leave(void)
{
    mole_listener_unlink();
    mole_modules_leave();
}

/* A fork's child has its parent's hooks. */
static bool set_hooks(void)
{
    static bool has_hooks;
    if (!has_hooks)
        has_hooks = mole_thread_on_fork(in_child_of_fork) && atexit(leave) == 0;
    return has_hooks;
}

static void open_at(const char *path)
{
    static const struct mole_thread_job job = {.run = run_control,
                                               .stack_bytes = (size_t)1 << 20};
    if (is_open) {
        mole_warn("there is a control socket already; none at %s", path);
        return;
    }
    if (!mole_listener_open(path))
        return;
    is_open = set_hooks() && mole_thread_start(&job);
    if (is_open)
        return;
    mole_warn("no control socket at %s: there is no thread for it", path);
    mole_listener_unlink();
    mole_listener_forget();
}

void mole_control_offer(void)
{
    mole_config_on_control(open_at);
}
