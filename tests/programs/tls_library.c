/* SPDX-License-Identifier: MIT */
/*
 * Built many times, as libraries that each take 32 bytes of static TLS: see
 * late_dlopen.c.
 */
#define PASTE(a, b) a##b
#define NAME(a, b) PASTE(a, b)

static _Thread_local char taken[32] __attribute__((tls_model("initial-exec")));

extern __attribute__((visibility("default"))) char *NAME(tls_library_, NUMBER)(void);

char *NAME(tls_library_, NUMBER)(void)
{
    return taken;
}
