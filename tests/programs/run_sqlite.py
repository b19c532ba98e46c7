#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""sqlite3: tables, indices, joins and sorting in memory and on disk."""
from _preload import Scratch, compare, end, need

SQL = """
CREATE TABLE block(id INTEGER PRIMARY KEY, owner INT, name TEXT, body BLOB);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
INSERT INTO block SELECT i, i * 7919 % 101, 'block ' || (i * 31 % 997),
    zeroblob(i % 700) FROM n;
CREATE INDEX by_owner ON block(owner, name);
SELECT owner, count(*), sum(length(body)), max(name) FROM block GROUP BY owner ORDER BY owner;
SELECT a.id, b.id, a.name FROM block a JOIN block b ON a.name = b.name AND a.owner = b.owner
    WHERE a.id < b.id ORDER BY a.name, a.id LIMIT 200;
DELETE FROM block WHERE id % 3 = 0;
UPDATE block SET name = upper(name) || hex(id) WHERE id % 5 = 0;
SELECT group_concat(name, ',') FROM (SELECT name FROM block ORDER BY name DESC LIMIT 500);
PRAGMA integrity_check;
VACUUM;
SELECT count(*), sum(id) FROM block;
"""


def main():
    sqlite = need("sqlite3")
    with Scratch() as place:
        compare(place, [sqlite, "-batch", ":memory:"], 5000, name="sqlite3 in memory",
                input=SQL.encode())
        # The program must find the same empty file both times.
        script = f"rm -f disk.db; exec {sqlite} -batch disk.db"
        compare(place, ["sh", "-c", script], 5000, name="sqlite3 on disk", input=SQL.encode())
    end()


main()
