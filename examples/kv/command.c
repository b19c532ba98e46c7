/* SPDX-License-Identifier: MIT */
#include "command.h"

#include <signal.h>
#include <strings.h>
#include <unistd.h>

/* A request while it runs. */
struct call {
    struct kv_table *table;
    const struct kv_bytes *arguments; /* [0] is the command's name */
    size_t count;
    struct kv_reply *reply;
};

static const char no_memory[] = "OOM not enough memory for this";

static void ping(const struct call *call)
{
    if (call->count == 1)
        kv_reply_status(call->reply, "PONG");
    else
        kv_reply_bulk(call->reply, call->arguments[1]);
}

static void set(const struct call *call)
{
    if (kv_table_set(call->table, call->arguments[1], call->arguments[2]))
        kv_reply_status(call->reply, "OK");
    else
        kv_reply_error(call->reply, no_memory);
}

static void reply_with(struct kv_bytes value, void *reply)
{
    kv_reply_bulk(reply, value);
}

static void get(const struct call *call)
{
    if (!kv_table_get(call->table, call->arguments[1], reply_with, call->reply))
        kv_reply_nothing(call->reply);
}

static void del(const struct call *call)
{
    int64_t removed = 0;
    for (size_t i = 1; i < call->count; i++)
        removed += kv_table_remove(call->table, call->arguments[i]);
    kv_reply_number(call->reply, removed);
}

static void incr(const struct call *call)
{
    int64_t sum;
    switch (kv_table_increment(call->table, call->arguments[1], &sum)) {
    case KV_ADD_DONE:
        kv_reply_number(call->reply, sum);
        break;
    case KV_ADD_NOT_A_NUMBER:
        kv_reply_error(call->reply, "ERR value is not an integer or out of range");
        break;
    case KV_ADD_OVERFLOW:
        kv_reply_error(call->reply, "ERR increment or decrement would overflow");
        break;
    case KV_ADD_NO_MEMORY:
        kv_reply_error(call->reply, no_memory);
        break;
    }
}

static void dbsize(const struct call *call)
{
    kv_reply_number(call->reply, (int64_t)kv_table_count(call->table));
}

/* What shows that a client's heap went with it. */
static void heaps(const struct call *call)
{
    kv_reply_number(call->reply, (int64_t)kv_heap_count());
}

static void flushall(const struct call *call)
{
    kv_table_clear(call->table);
    kv_reply_status(call->reply, "OK");
}

/* No answer: the client sees the connection close. Main waits for the signal. */
static void shut_down(const struct call *call)
{
    (void)call;
    kill(getpid(), SIGTERM);
}

static const struct command {
    const char *name;
    size_t least; /* arguments, the name included */
    size_t most;
    void (*run)(const struct call *call);
} commands[] = {
    {"GET", 2, 2, get},
    {"SET", 3, 3, set},
    {"DEL", 2, SIZE_MAX, del},
    {"INCR", 2, 2, incr},
    {"PING", 1, 2, ping},
    {"DBSIZE", 1, 1, dbsize},
    {"FLUSHALL", 1, 1, flushall},
    {"HEAPS", 1, 1, heaps},
    {"SHUTDOWN", 1, 2, shut_down}, /* clients send NOSAVE, which is all we can do */
};

static const struct command *find_command(struct kv_bytes name)
{
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
        if (strlen(commands[i].name) == name.size &&
            strncasecmp(commands[i].name, name.data, name.size) == 0)
            return &commands[i];
    return NULL;
}

void kv_command_run(struct kv_table *table, const struct kv_bytes *arguments,
                    size_t count, struct kv_reply *reply)
{
    const struct command *command = find_command(arguments[0]);
    if (!command)
        kv_reply_error(reply, "ERR unknown command");
    else if (count < command->least || count > command->most)
        kv_reply_error(reply, "ERR wrong number of arguments for this command");
    else
        command->run(&(struct call){table, arguments, count, reply});
}
