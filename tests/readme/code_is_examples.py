# SPDX-License-Identifier: BSL-1.0
"""Every block of C++ in README.md is a file under examples/, or a run of its lines."""

import pathlib
import re
import sys
import textwrap

root = pathlib.Path(sys.argv[1])
blocks = re.findall(r"^```cpp\n(.*?)^```$", (root / "README.md").read_text(), re.M | re.S)
examples = {}
for path in (root / "examples").rglob("*"):
    if path.suffix in (".cpp", ".hpp"):
        examples[path.name] = path.read_text().split("\n", 1)[1].strip("\n").split("\n")


def is_in(block, lines):
    wanted = block.strip("\n").split("\n")
    runs = (lines[i : i + len(wanted)] for i in range(len(lines) - len(wanted) + 1))
    return any(textwrap.dedent("\n".join(run)) == "\n".join(wanted) for run in runs)


strangers = [block for block in blocks if not any(is_in(block, lines) for lines in examples.values())]
for block in strangers:
    print("no example has these lines:\n" + block)
if not blocks:
    print("README.md has no code")
sys.exit(bool(strangers) or not blocks)
