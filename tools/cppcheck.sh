#!/bin/sh
# SPDX-License-Identifier: MIT
# cppcheck over the sources; not over tests, whose Test() macros it cannot read.
set -eu
cd "$(dirname "$0")/.."

exec cppcheck --quiet --error-exitcode=1 --std=c11 --language=c --platform=unix64 \
    --enable=warning,performance,portability --inline-suppr -j "$(nproc)" \
    -D__x86_64__=1 -D__GNUC__=12 -D__linux__=1 -D_GNU_SOURCE=1 \
    -I include -I src --suppress=missingIncludeSystem \
    -DTARGET_HEAP=1 src perf examples
