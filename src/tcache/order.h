/* SPDX-License-Identifier: MIT */
/*
 * The order of blocks that other threads gave back. Lists of them are concatenations of
 * pieces, which become shorter from round to round until neighbours in the list lie in
 * different lines of the table; then owner and freeing thread wait for a line from each
 * other at every block. In the order of the table a line is handed over for all of its
 * entries at once.
 */
#pragma once

#include "arena/span.h"

/*
 * Link the `count` >= 1 free blocks of a list that starts at `first` in the order of the
 * table, for the same holder; where links are coded, or most neighbours in the list are
 * neighbours in the table already, as they are. Returns the first; `*last` is the last,
 * whose link is the caller's to set.
 */
uint32_t mole_order_list(struct mole_span *span, uint32_t first, uint32_t count,
                         uint32_t *last);
