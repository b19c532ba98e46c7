#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""gcc compiles a file: the driver, the compiler, the assembler and the linker on molehill."""
from _preload import Scratch, case, compare, end, need

HEADER = """
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
"""
FUNCTION = """
struct node_%(n)d { struct node_%(n)d *next; int key; double value[%(n)d + 1]; };
int insert_%(n)d(struct node_%(n)d **list, int key, double value)
{
    while (*list && (*list)->key < key)
        list = &(*list)->next;
    struct node_%(n)d *node = calloc(1, sizeof *node);
    if (!node)
        return ENOMEM;
    for (int i = 0; i <= %(n)d; i++)
        node->value[i] = value * i + sin(value);
    node->key = key;
    node->next = *list;
    *list = node;
    return 0;
}
"""


def main():
    gcc = need("gcc")
    with Scratch() as place:
        source = HEADER + "".join(FUNCTION % {"n": n} for n in range(60))
        place.file("work.c", source + 'int main(void) { puts("works"); return 0; }\n')
        for level in ("-O0", "-O2"):
            objects = []
            for preloads in (False, True):
                done = place.run([gcc, level, "-g", "-Wall", "-c", "work.c", "-o", "work.o"],
                                 preloads)
                case(done.returncode == 0, f"gcc {level}: {done.stderr.decode()[-500:]}")
                with open(place.file("work.o"), "rb") as file:
                    objects.append(file.read())
            case(objects[0] == objects[1], f"gcc {level}: another object file than without")
            case(done.frees >= 5000, f"gcc {level}: only {done.frees} frees")
            print(f"gcc {level}: {done.frees} frees")
        compare(place, ["sh", "-c", f"{gcc} work.o -lm -o work && ./work"], 1000,
                name="gcc links")
    end()


main()
