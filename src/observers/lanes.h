/* SPDX-License-Identifier: MIT */
/*
 * What the threads of a program have to tell, each into a lane of its own: a buffer that
 * is appended to the file when it is full. A thread finds its lane by its handle
 * (thrd_current), in a table of fixed size, where it once got a place. There is no
 * thread-local storage, and nothing is done at a thread's end, so that the object can be
 * unloaded at any time: a thread that is given the handle of one that ended goes on in
 * its lane, with all that is in it.
 *
 *   a callback --number_a++--> encoded in the lane's buffer --when full--> the file
 *
 *  label      release side             acquire side              makes visible
 *  HB-LANE-1  an event's end: store    the next event's begin:   the lane's other
 *             of used_a                load of it; lanes_finish  fields, its buffer
 *
 * Order: an event takes its number in its callback, from one counter for all threads: of
 * a free before the block is free, of an allocation once the block is the thread's. What
 * happens before in the program has the lower number therefore, and of one address no two
 * events are mixed up. The processor's clock would cost less, but says nothing certain
 * across cores.
 *
 * Progress: an event is wait-free by a bounded number of places looked at, but for the
 * file: a write now and then, by the thread whose buffer is full, of which the others
 * feel nothing. Where all lanes are taken events are lost, and counted.
 */
#pragma once

#include "base/attr.h"
#include "observers/trace.h"

enum { LANES_MOST = 1024 };

/* An event as a callback has it; addresses as numbers. */
struct event {
    enum trace_kind kind;
    uintptr_t heap;
    uintptr_t old_block;
    uintptr_t block;
    size_t bytes;
};

/* All free, nothing told. Nobody is in here. */
void lanes_clear(void);

/* The thread is about to allocate or resize: what was asked for, before it is rounded. */
void lanes_ask(uintptr_t heap, size_t bytes);

/* Note an event. Its bytes are what was asked for, if the thread has said so before. */
void lanes_note(const struct event *event);

/* Append what is in the buffers, and sum up. Nobody is in here. */
void lanes_finish(struct trace_header *header);
