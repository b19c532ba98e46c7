/* SPDX-License-Identifier: MIT */
/*
 * The file a trace is written to. Threads append to it without a lock: each takes its
 * place in it by one addition and writes there. One file at a time.
 *
 * A fork's child has the file open as well, and never writes to it. Nor does anybody once
 * the program has closed the descriptor and something else has come in its place.
 */
#pragma once

#include "base/attr.h"
#include "observers/trace.h"

/*
 * Make the file, in which `%p` stands for the process's id; it must not be there. False:
 * `error` has a line that says why.
 */
bool trace_file_open(const char *path, char *error, size_t error_bytes);

/* Whether a file is open, and it is this process's. */
bool trace_file_is_ours(void);

/* Append a chunk. If it cannot be written the file is never finished. Any thread. */
void trace_file_append(const void *data, size_t bytes);

/*
 * Write the header, of which lanes, events and lost are set, and close the file. Nobody
 * appends any more. NULL, or why the trace is not whole.
 */
const char *trace_file_finish(struct trace_header *header);

/* Its path, also when it is finished. */
const char *trace_file_path(void);
