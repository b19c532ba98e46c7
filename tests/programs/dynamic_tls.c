/* SPDX-License-Identifier: MIT */
/*
 * Copied many times, as libraries whose TLS each thread gets at its first use: see
 * loading.c.
 */
static _Thread_local char taken[200];

extern __attribute__((visibility("default"))) char *touch_tls(void);

char *touch_tls(void)
{
    taken[0]++;
    return taken;
}
