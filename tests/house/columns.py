# SPDX-License-Identifier: BSL-1.0
"""Checks that no line is longer than 110 columns: `columns.py PROJECT_DIRECTORY`."""

import pathlib
import sys

LONGEST = 110
PLACES = ("include", "examples", "tests", ".ci", "CMakeLists.txt", "CMakePresets.json")
KINDS = {".hpp", ".cpp", ".h", ".py", ".sh", ".txt", ".cmake", ".json", ""}
# Data: scripts found by the fuzzer, what a machine measured, one mutant a line.
LEFT_OUT = ("tests/fuzz/corpus/", "tests/benchmark/recorded.json", "tests/mutation/equivalent.txt")


def files(root):
    for place in PLACES:
        for path in sorted((root / place).rglob("*")) if (root / place).is_dir() else [root / place]:
            name = path.relative_to(root).as_posix()
            if (
                path.is_file()
                and path.suffix in KINDS
                and not name.startswith(LEFT_OUT)
                and "__pycache__" not in name
            ):
                yield name, path


def complaints(root):
    return [
        f"{name}:{number}: {len(line)} columns"
        for name, path in files(root)
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if len(line) > LONGEST
    ]


def main():
    root = pathlib.Path(sys.argv[1])
    count = sum(1 for _ in files(root))
    if count < len(PLACES):
        sys.exit(f"hardly a file was found in {root}")
    found = complaints(root)
    print(*found, sep="\n")
    print(f"{count} files, {len(found)} lines longer than {LONGEST} columns")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
