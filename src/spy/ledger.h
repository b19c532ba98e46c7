/* SPDX-License-Identifier: MIT */
/*
 * The ledger: blocks of the task allocator that the COM spy still has to hear of. A
 * record is found by the pointer the client has, any value a spy invents, and by the
 * block's own address, which HeapFree and HeapReAlloc may be given.
 *
 *   pool --reserve--> in hand --record--> recorded --take--> in hand --drop--> pool
 *
 * A record out of its pool is owed. An operation reserves its record before it needs it,
 * so that recording cannot fail, and takes it out of the tables before the block's memory
 * can become another thread's, so that no two blocks are ever mixed up.
 *
 * Tables and pools are split, each part with a lock and lines of its own: threads meet
 * only by accident. Order of locks: by client, by block; a pool's alone. Memory comes
 * from the system and is never given back.
 *
 * Fork: in the child the tables are made anew from the records themselves. What a
 * vanished thread had in hand goes back.
 */
#pragma once

#include "base/attr.h"

struct mole_record;

/* Once, before anything else. */
void mole_ledger_init(void);

/* A record in the calling thread's hand, or NULL: no memory. */
struct mole_record *mole_ledger_reserve(void) mole_must_check;

/* Put it in the tables. The block's address may be recorded already. */
void mole_ledger_record(struct mole_record *record, const void *client,
                        const void *block);

/* Put a record back as it was when it was taken. */
void mole_ledger_record_again(struct mole_record *record);

/* Whether there is a record with this pointer of a client's. */
bool mole_ledger_has(const void *client);

/* Take the record with this pointer out of the tables, into the hand; NULL: none. */
struct mole_record *mole_ledger_take(const void *client);
struct mole_record *mole_ledger_take_block(const void *block);

/* What a record in hand was recorded with. */
const void *mole_ledger_client(const struct mole_record *record);
const void *mole_ledger_block(const struct mole_record *record);

/* Give a record in hand back to its pool. NULL is no record. */
void mole_ledger_drop(struct mole_record *record);

/* Whether all records are in their pools, at one moment during the call. */
bool mole_ledger_is_empty(void);

/* In a fork's child. */
void mole_ledger_repair(void);
