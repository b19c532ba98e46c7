/* SPDX-License-Identifier: MIT */
#include "arena/bit_tree.h"

enum { BITS = 64, MOST_LEVELS = 11 };

static size_t words_for(size_t size)
{
    return (size + BITS - 1) / BITS;
}

size_t mole_bit_tree_words(size_t size)
{
    size_t sum = 0;
    size_t words = size;
    do {
        words = words_for(words);
        sum += words;
    } while (words > 1);
    return sum;
}

void mole_bit_tree_add(struct mole_bit_tree *tree, size_t number)
{
    uint64_t *level = tree->words;
    for (size_t words = words_for(tree->size);; words = words_for(words)) {
        uint64_t *word = &level[number / BITS];
        bool was_empty = *word == 0;
        *word |= (uint64_t)1 << number % BITS;
        if (!was_empty || words == 1)
            return;
        level += words;
        number /= BITS;
    }
}

void mole_bit_tree_remove(struct mole_bit_tree *tree, size_t number)
{
    uint64_t *level = tree->words;
    for (size_t words = words_for(tree->size);; words = words_for(words)) {
        uint64_t *word = &level[number / BITS];
        *word &= ~((uint64_t)1 << number % BITS);
        if (*word || words == 1)
            return;
        level += words;
        number /= BITS;
    }
}

bool mole_bit_tree_has(const struct mole_bit_tree *tree, size_t number)
{
    return tree->words[number / BITS] >> number % BITS & 1;
}

/* The levels, the numbers' own first; how many there are. */
static unsigned levels_of(const struct mole_bit_tree *tree, const uint64_t **levels)
{
    unsigned count = 0;
    const uint64_t *level = tree->words;
    for (size_t words = words_for(tree->size);; words = words_for(words)) {
        levels[count++] = level;
        if (words == 1)
            return count;
        level += words;
    }
}

bool mole_bit_tree_is_empty(const struct mole_bit_tree *tree)
{
    const uint64_t *levels[MOST_LEVELS];
    return *levels[levels_of(tree, levels) - 1] == 0;
}

/* Down from a word that is not 0. */
static size_t descend(const uint64_t *const *levels, unsigned level, size_t word)
{
    for (;;) {
        size_t number = word * BITS + (size_t)__builtin_ctzll(levels[level][word]);
        if (level-- == 0)
            return number;
        word = number;
    }
}

size_t mole_bit_tree_first(const struct mole_bit_tree *tree)
{
    const uint64_t *levels[MOST_LEVELS];
    return descend(levels, levels_of(tree, levels) - 1, 0);
}

size_t mole_bit_tree_next(const struct mole_bit_tree *tree, size_t number)
{
    const uint64_t *levels[MOST_LEVELS];
    unsigned count = levels_of(tree, levels);
    size_t size = tree->size;
    for (unsigned level = 0; level < count && number < size; level++) {
        size_t word = number / BITS;
        uint64_t rest = levels[level][word] & UINT64_MAX << number % BITS;
        if (rest) {
            number = word * BITS + (size_t)__builtin_ctzll(rest);
            return level == 0 ? number : descend(levels, level - 1, number);
        }
        number = word + 1;
        size = words_for(size);
    }
    return SIZE_MAX;
}
