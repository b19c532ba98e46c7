/* SPDX-License-Identifier: MIT */
#include "os/twin.h"

#include <errno.h>
#include <link.h>
#include <stdint.h>
#include <string.h>

#include "base/attr.h"
#include "base/check.h"

enum { NAME_BYTES = sizeof "molehill", IS_CORE = 1 };

struct note {
    ElfW(Nhdr) head;
    char name[(NAME_BYTES + 3) / 4 * 4];
};

static const struct note own_note
    __attribute__((section(".note.molehill"), used, aligned(4))) = {
        .head = {.n_namesz = NAME_BYTES, .n_type = IS_CORE},
        .name = "molehill",
};

struct search {
    unsigned before; /* cores before this one */
    bool is_found;   /* this one */
};

/* A core's note among the notes at `start`, which are `bytes` long in all; NULL: none. */
static const struct note *find_note(const char *start, size_t bytes)
{
    while (bytes >= sizeof(struct note)) {
        const struct note *note = (const struct note *)(const void *)start;
        if (note->head.n_namesz == NAME_BYTES && note->head.n_type == IS_CORE &&
            memcmp(note->name, "molehill", NAME_BYTES) == 0)
            return note;
        size_t size = sizeof note->head + mole_round_up(note->head.n_namesz, 4) +
                      mole_round_up(note->head.n_descsz, 4);
        if (size > bytes)
            break;
        start += size;
        bytes -= size;
    }
    return NULL;
}

static int look_at(struct dl_phdr_info *object, size_t size, void *argument)
{
    (void)size;
    struct search *search = argument;
    for (size_t i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &object->dlpi_phdr[i];
        if (segment->p_type != PT_NOTE || segment->p_align > 4)
            continue;
        uintptr_t start = object->dlpi_addr + segment->p_vaddr;
        const struct note *note = find_note((const char *)start, segment->p_memsz);
        if (note == &own_note)
            search->is_found = true;
        else if (note)
            search->before++;
    }
    return search->is_found; /* the rest is of no interest */
}

void mole_twin_warn(void)
{
    int saved = errno;
    struct search search = {.before = 0};
    (void)dl_iterate_phdr(look_at, &search);
    if (search.is_found && search.before == 1)
        mole_warn("there are two cores in this process, each refuses what the other "
                  "made: link one library, shared");
    errno = saved;
}
