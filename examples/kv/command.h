/* SPDX-License-Identifier: MIT */
/*
 * What clients may ask for: one row of a table each, in command.c.
 */
#pragma once

#include <stddef.h>

#include "bytes.h"
#include "reply.h"
#include "table.h"

/* Run one request; its answer, be it an error, is appended to `reply`. */
void kv_command_run(struct kv_table *table, const struct kv_bytes *arguments,
                    size_t count, struct kv_reply *reply);
