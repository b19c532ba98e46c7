/* SPDX-License-Identifier: MIT */
/*
 * A set of small numbers that finds its least member by a few steps: a bit a number,
 * above each word of bits one bit that tells whether the word is not 0, and so on up to
 * one word. The caller owns the words and excludes others.
 */
#pragma once

#include "base/attr.h"

struct mole_bit_tree {
    uint64_t *words; /* the numbers' own first, then level by level */
    size_t size;     /* numbers are below this */
};

/* Words that a set of numbers below `size` needs; all 0: the empty set. */
size_t mole_bit_tree_words(size_t size);

void mole_bit_tree_add(struct mole_bit_tree *tree, size_t number);

/* Take a member out. */
void mole_bit_tree_remove(struct mole_bit_tree *tree, size_t number);

bool mole_bit_tree_has(const struct mole_bit_tree *tree, size_t number);
bool mole_bit_tree_is_empty(const struct mole_bit_tree *tree);

/* The least member. There must be one. */
size_t mole_bit_tree_first(const struct mole_bit_tree *tree);

/* The least member from `number` on; SIZE_MAX: there is none. */
size_t mole_bit_tree_next(const struct mole_bit_tree *tree, size_t number);
