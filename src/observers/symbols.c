/* SPDX-License-Identifier: MIT */
#include "observers/symbols.h"

#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

enum { MOST_OBJECTS = 32 };
static const size_t most_bytes = (size_t)256 << 20; /* of a symbol table, or its names */

/* The functions in one object's file. */
struct object {
    const void *base; /* where it is loaded */
    ElfW(Sym) * symbols;
    size_t count;
    char *names;
    size_t name_bytes;
};

static struct object objects[MOST_OBJECTS];
static size_t object_count;

/* So many bytes of the file, to be freed. NULL: it has not as many. */
static void *read_part(int file, uint64_t start, uint64_t bytes)
{
    if (bytes == 0 || bytes > most_bytes)
        return NULL;
    char *part = malloc(bytes);
    size_t done = 0;
    while (part && done < bytes) {
        ssize_t more = pread(file, part + done, bytes - done, (off_t)(start + done));
        if (more <= 0) {
            free(part);
            return NULL;
        }
        done += (size_t)more;
    }
    return part;
}

static void read_table(int file, const ElfW(Shdr) * symbols, const ElfW(Shdr) * names,
                       struct object *object)
{
    object->symbols = read_part(file, symbols->sh_offset, symbols->sh_size);
    object->names = read_part(file, names->sh_offset, names->sh_size);
    if (!object->symbols || !object->names)
        return;
    object->count = symbols->sh_size / sizeof *object->symbols;
    object->name_bytes = names->sh_size;
    object->names[object->name_bytes - 1] = '\0';
}

/* The file's .symtab, which stripped files have not. */
static void read_file(int file, struct object *object)
{
    ElfW(Ehdr) head;
    if (pread(file, &head, sizeof head, 0) != sizeof head ||
        memcmp(head.e_ident, ELFMAG, SELFMAG) != 0 ||
        head.e_shentsize != sizeof(ElfW(Shdr)))
        return;
    size_t bytes = (size_t)head.e_shnum * sizeof(ElfW(Shdr));
    ElfW(Shdr) *sections = read_part(file, head.e_shoff, bytes);
    for (size_t i = 0; sections && i < head.e_shnum; i++)
        if (sections[i].sh_type == SHT_SYMTAB && sections[i].sh_link < head.e_shnum) {
            read_table(file, &sections[i], &sections[sections[i].sh_link], object);
            break;
        }
    free(sections);
}

static const struct object *find_object(const void *base, const char *path)
{
    for (size_t i = 0; i < object_count; i++)
        if (objects[i].base == base)
            return &objects[i];
    if (object_count == MOST_OBJECTS)
        return NULL;
    struct object *object = &objects[object_count++];
    *object = (struct object){.base = base};
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file >= 0) {
        read_file(file, object);
        close(file);
    }
    return object;
}

/* The function around the address, which is `offset` behind the object's load address. */
static const char *find_function(const struct object *object, uint64_t offset,
                                 uint64_t *start)
{
    for (size_t i = 0; object && i < object->count; i++) {
        const ElfW(Sym) *symbol = &object->symbols[i];
        if (ELF64_ST_TYPE(symbol->st_info) == STT_FUNC &&
            offset - symbol->st_value < symbol->st_size &&
            symbol->st_name < object->name_bytes) {
            *start = symbol->st_value;
            return object->names + symbol->st_name;
        }
    }
    return NULL;
}

/* C++ names as in the source, where the program has what reads them. */
static char *demangle(const char *name)
{
    char *(*read_name)(const char *, char *, size_t *, int *);
    int status;
    *(void **)&read_name = dlsym(RTLD_DEFAULT, "__cxa_demangle");
    return read_name && strncmp(name, "_Z", 2) == 0 ? read_name(name, NULL, NULL, &status)
                                                    : NULL;
}

void symbols_name(const void *address, char *text, size_t bytes)
{
    Dl_info info;
    struct link_map *map = NULL;
    if (!dladdr1(address, &info, (void **)&map, RTLD_DL_LINKMAP)) {
        snprintf(text, bytes, "%p", address);
        return;
    }
    /* Of the program the loader has no name but what it was called, which may change. */
    bool is_program = !map->l_name[0];
    const char *path =
        is_program ? (const char *)(uintptr_t)getauxval(AT_EXECFN) : map->l_name;
    const char *slash = path ? strrchr(path, '/') : NULL;
    const char *object = slash ? slash + 1 : path ? path : "program";
    uint64_t offset = (uintptr_t)address - map->l_addr;
    uint64_t start = (uintptr_t)info.dli_saddr - map->l_addr;
    const char *name = info.dli_sname;
    if (!name)
        name = find_function(
            find_object(info.dli_fbase, is_program ? "/proc/self/exe" : path), offset,
            &start);
    if (!name) {
        snprintf(text, bytes, "%s+%#llx", object, (unsigned long long)offset);
        return;
    }
    char *readable = demangle(name);
    snprintf(text, bytes, "%s+%#llx (%s)", readable ? readable : name,
             (unsigned long long)(offset - start), object);
    free(readable);
}

void symbols_finish(void)
{
    while (object_count) {
        object_count--;
        free(objects[object_count].symbols);
        free(objects[object_count].names);
    }
}
