"""Counts what the conformance suite wrote, and compares what failed with what is expected to.

    conformance_checks.py FOLDER EXPECTED     `REWRITE=1` writes EXPECTED instead
"""

import collections
import json
import os
import pathlib
import re
import sys

FOLDER, EXPECTED = map(pathlib.Path, sys.argv[1:])
failed, scenarios = set(), 0
for revision in sorted(FOLDER.iterdir()):
    counts = collections.Counter()
    for file in sorted(revision.rglob("checks.json")):
        scenarios += 1
        scenario = re.sub(r"-20..-..-..T.*$", "", file.parent.name).removeprefix("server-")
        for check in json.loads(file.read_text()):
            counts[check["status"]] += 1
            if check["status"] == "FAILURE":
                failed.add(f"{revision.name} {scenario} {check['id']}")
    print(revision.name, " ".join(f"{status.lower()} {count}" for status, count in sorted(counts.items())))
if scenarios < 60:
    sys.exit(f"only {scenarios} scenarios left results")
if os.environ.get("REWRITE"):
    EXPECTED.write_text("".join(f"{line}\n" for line in sorted(failed)))
expected = set(EXPECTED.read_text().splitlines())
for line in sorted(failed - expected):
    print("fails:", line)
for line in sorted(expected - failed):
    print("expected to fail, and does not:", line)
sys.exit(failed != expected)
