/* SPDX-License-Identifier: MIT */
/* A trace's file, for the plan. */
#pragma once

#include <stddef.h>

/* The file in memory, until it is unmapped; ends the program where it cannot be read. */
const void *plan_file_map(const char *path, size_t *bytes);

/* End the program with a line on what is wrong with the file. */
_Noreturn void plan_file_refuse(const char *path, const char *why);
