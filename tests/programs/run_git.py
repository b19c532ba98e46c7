#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""git: a repository made, filled, branched, merged and packed; its history must have the same
hashes as without the library."""
from _preload import Scratch, compare, end, need

SCRIPT = r"""
set -e
rm -rf tree
git init -q -b main tree
cd tree
for round in 1 2 3 4; do
    for file in 1 2 3 4 5 6 7 8 9; do
        mkdir -p "folder$file"
        seq $((round * file)) $((round * file * 40)) >"folder$file/numbers"
        echo "round $round" >>"folder$file/log"
    done
    git add -A
    git commit -q -m "round $round"
done
git checkout -q -b side HEAD~2
echo side >side
git add side
git commit -q -m "a side step"
git checkout -q main
git merge -q -m "both" side
git tag -a -m "a tag" first
git gc -q
git fsck --full
git log --graph --stat --format='%H %s'
git diff HEAD~3 --shortstat
git blame -s folder3/log
git archive HEAD | sha256sum
"""


def main():
    need("git", "sh", "seq", "sha256sum")
    date = "2020-02-02T02:02:02Z"
    with Scratch() as place:
        env = {
            "HOME": place.path, "GIT_CONFIG_NOSYSTEM": "1", "GIT_AUTHOR_NAME": "A",
            "GIT_AUTHOR_EMAIL": "a@example.org", "GIT_AUTHOR_DATE": date,
            "GIT_COMMITTER_NAME": "A", "GIT_COMMITTER_EMAIL": "a@example.org",
            "GIT_COMMITTER_DATE": date,
        }
        compare(place, ["sh", "-c", SCRIPT], 5000, env, "git")
    end()


main()
