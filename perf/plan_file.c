/* SPDX-License-Identifier: MIT */
#include "plan_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness.h"

_Noreturn void plan_file_refuse(const char *path, const char *why)
{
    char line[600];
    snprintf(line, sizeof line, "%.400s: %s", path, why);
    perf_die(line);
}

const void *plan_file_map(const char *path, size_t *bytes)
{
    struct stat about;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0 || fstat(file, &about) != 0)
        plan_file_refuse(path, strerror(errno));
    *bytes = (size_t)about.st_size;
    if (*bytes == 0)
        plan_file_refuse(path, "it is empty");
    const void *pages = mmap(NULL, *bytes, PROT_READ, MAP_PRIVATE, file, 0);
    if (pages == MAP_FAILED)
        plan_file_refuse(path, strerror(errno));
    close(file);
    return pages;
}
