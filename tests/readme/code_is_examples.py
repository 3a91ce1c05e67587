# SPDX-License-Identifier: BSL-1.0
"""Every block of C++ or Python in README.md and examples/README.md is a program, or a run of its lines."""

import pathlib
import re
import sys
import textwrap

root = pathlib.Path(sys.argv[1])
PLACES = {"README.md": ("examples",), "examples/README.md": ("examples", "tests/readme/peers")}


def lines_of(path):
    return path.read_text().split("\n", 1)[1].strip("\n").split("\n")  # without the licence


def is_in(block, lines):
    wanted = block.strip("\n").split("\n")
    runs = (lines[i : i + len(wanted)] for i in range(len(lines) - len(wanted) + 1))
    return any(textwrap.dedent("\n".join(run)) == "\n".join(wanted) for run in runs)


failed = False
for page, places in PLACES.items():
    blocks = re.findall(r"^```(?:cpp|python)\n(.*?)^```$", (root / page).read_text(), re.M | re.S)
    files = [
        lines_of(path)
        for place in places
        for path in (root / place).iterdir()
        if path.suffix in (".cpp", ".hpp", ".py")
    ]
    strangers = [block for block in blocks if not any(is_in(block, lines) for lines in files)]
    for block in strangers:
        print(f"{page}: no program has these lines:\n" + block)
    if not blocks:
        print(f"{page} has no code")
    failed = failed or bool(strangers) or not blocks
sys.exit(failed)
