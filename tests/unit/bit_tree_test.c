/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "arena/bit_tree.h"

static struct mole_bit_tree tree_of(size_t size)
{
    uint64_t *words = calloc(mole_bit_tree_words(size), sizeof *words);
    require(words != NULL, "no memory for the test");
    return (struct mole_bit_tree){.words = words, .size = size};
}

Test(bit_tree, each_number_alone_is_first)
{
    const size_t sizes[] = {1, 2, 63, 64, 65, 4095, 4096, 4097, 300000};
    for (size_t i = 0; i < LENGTH(sizes); i++) {
        struct mole_bit_tree tree = tree_of(sizes[i]);
        for (size_t n = 0; n < sizes[i]; n += sizes[i] < 5000 ? 1 : 31) {
            require(mole_bit_tree_is_empty(&tree), "%zu is left", n);
            mole_bit_tree_add(&tree, n);
            require(mole_bit_tree_has(&tree, n) && !mole_bit_tree_is_empty(&tree),
                    "%zu of %zu is no member", n, sizes[i]);
            require(mole_bit_tree_first(&tree) == n, "%zu of %zu is not found", n,
                    sizes[i]);
            require(mole_bit_tree_next(&tree, 0) == n, "%zu is not found from 0", n);
            require(mole_bit_tree_next(&tree, n) == n, "%zu is not found from there", n);
            require(mole_bit_tree_next(&tree, n + 1) == SIZE_MAX, "%zu is found twice",
                    n);
            mole_bit_tree_remove(&tree, n);
        }
        free(tree.words);
    }
}

/* Against an array of flags. */
Test(bit_tree, random_changes_agree_with_a_plain_set)
{
    enum { SIZE = 70000 };
    static bool is_in[SIZE];
    struct mole_bit_tree tree = tree_of(SIZE);
    uint64_t random = 1;
    for (size_t i = 0; i < 20000 + repeats(200000); i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        size_t n = (random >> 33) % (i % 3 ? SIZE : 300);
        is_in[n] = !is_in[n];
        if (is_in[n])
            mole_bit_tree_add(&tree, n);
        else
            mole_bit_tree_remove(&tree, n);
        if (i % 100)
            continue;
        size_t from = (random >> 13) % SIZE, next = from;
        while (next < SIZE && !is_in[next])
            next++;
        size_t found = mole_bit_tree_next(&tree, from);
        require(found == (next < SIZE ? next : SIZE_MAX), "from %zu: %zu, not %zu", from,
                found, next);
    }
    free(tree.words);
}
