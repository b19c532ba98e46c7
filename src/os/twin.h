/* SPDX-License-Identifier: MIT */
/*
 * Another core in the process: molehill linked statically into a library beside the
 * shared one, or into two. Each core has its own heaps and refuses the other's handles
 * and blocks as foreign, which the client will not have meant.
 *
 * A core is known by a note (ELF) in the object it is linked into. The dynamic linker's
 * list of objects has them all, also those not yet set up.
 */
#pragma once

/*
 * One line on stderr from the second core of the list; from the others nothing. Once, at
 * load.
 */
void mole_twin_warn(void);
