/* SPDX-License-Identifier: MIT */
/* The same functions, used by C++. */
#include "support.h"

const char *exception_cxx_run(void);

Test(exception_cxx, exceptions_are_thrown_on_demand)
{
    const char *problem = exception_cxx_run();
    require(problem == NULL, "%s", problem);
}
