#!/bin/sh
# SPDX-License-Identifier: MIT
# clang-tidy over all that is compiled. usage: tidy.sh BUILD_DIRECTORY (made with clang)
set -eu
cd "$(dirname "$0")/.."

build=$1
git ls-files -co --exclude-standard -- 'src/*.c' 'tests/*.c' \
    'tests/*.cpp' 'perf/*.c' 'examples/*.c' 'models/*.c' | while read -r file; do
    [ ! -f "$file" ] || printf '%s\0' "$file"
done | xargs -0 -r -n 1 -P "$(nproc)" clang-tidy -p "$build" --quiet --warnings-as-errors='*'
