#!/bin/sh
# SPDX-License-Identifier: MIT
# Format the sources with clang-format 14, and fill their comments (fill_comments.py); with
# --check, only say what is not formatted.
set -eu
cd "$(dirname "$0")/.."

PINNED=14
tool=clang-format-$PINNED
command -v "$tool" >/dev/null || tool=clang-format
version=$("$tool" --version | sed 's/.*version \([0-9]*\)\..*/\1/')
if [ "$version" != "$PINNED" ]; then
    echo "format.sh: clang-format $PINNED is wanted, $tool is $version" >&2
    exit 2
fi

files=$(git ls-files -co --exclude-standard -- '*.c' '*.h' '*.cc' '*.cpp' | sort -u |
    while read -r file; do [ ! -f "$file" ] || echo "$file"; done)
[ -n "$files" ] || exit 0
if [ "${1:-}" = --check ]; then
    "$tool" --dry-run -Werror --ferror-limit=1 $files
    exec python3 tools/fill_comments.py --check $files
fi
python3 tools/fill_comments.py $files
exec "$tool" -i $files
