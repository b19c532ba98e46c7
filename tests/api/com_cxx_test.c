/* SPDX-License-Identifier: MIT */
/* The same interfaces, seen by C++. */
#include "support.h"

const char *com_cxx_run(bool is_agile);

Test(com_cxx, a_client_and_a_spy_written_in_cxx)
{
    const char *problem = com_cxx_run(false);
    require(problem == NULL, "%s", problem);
}

Test(com_cxx, a_free_threaded_spy_written_in_cxx)
{
    const char *problem = com_cxx_run(true);
    require(problem == NULL, "%s", problem);
}
