#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Print a short name of this build's sources, for the version node that molehill's libraries
share among themselves: a library of another build then does not load, with the loader's message,
instead of misunderstanding this one's records."""
import hashlib
import pathlib

root = pathlib.Path(__file__).resolve().parent.parent
digest = hashlib.sha256()
for path in sorted((root / "src").rglob("*.[ch]")):
    digest.update(path.relative_to(root).as_posix().encode())
    digest.update(path.read_bytes())
print(digest.hexdigest()[:12])
