# SPDX-License-Identifier: BSL-1.0
"""Checks that the module exports what the public headers declare, and nothing else: `exports.py INCLUDE`."""

import pathlib
import re
import sys

OPENED = re.compile(r"^namespace ([\w:]+) \{")
DECLARED = re.compile(
    r"^(?:template <[^>]*> )?(?:class|struct|enum class|concept|using) (?:\[\[nodiscard\]\] )?(\w+)\b"
    r"(?!<|::| *;)"
    r"|^(?:template <[^>]*> )?(?:concept|using) (\w+) ="
    r"|^inline constexpr [\w:]+ (\w+)"
    r"|^(?:\[\[nodiscard\]\] )?(?:inline |constexpr |const )+[\w:]+(?:<[^()]*>)?&? (\w+|operator[^\s\w(]+)\("
    r"|^(?:\[\[nodiscard\]\] )?(?:auto|void) (\w+)\("
    r"|^std::basic_ostream<[^()]*>& (operator<<)\("
)
# The text of a compiler's message, and no name that a program writes.
MESSAGE = re.compile(r"a_\w+_cannot_be_\w+$")


def declared(text):
    """The names that a header declares in namespace selectors or selectors::testing, not those of detail."""
    names, depth, spaces = set(), 0, []
    for line in text.splitlines():
        if spaces and all("detail" not in name for _, name in spaces) and (found := DECLARED.match(line)):
            names.add(next(name for name in found.groups() if name))
        if opened := OPENED.match(line):
            spaces.append((depth, opened[1]))
        depth += line.count("{") - line.count("}")
        if spaces and depth <= spaces[-1][0]:
            spaces.pop()
    return {name for name in names if not MESSAGE.match(name)}


def main():
    directory = pathlib.Path(sys.argv[1]) / "selectors"
    module = (directory / "selectors.cppm").read_text()
    exported = set(re.findall(r"^using selectors::(?:testing::)?(.+);$", module, re.M))
    wanted = {}
    for path in sorted(directory.rglob("*.hpp")):
        for name in declared(path.read_text()):
            wanted.setdefault(name, path.relative_to(directory))
    missing = [f"{where}: {name} is not exported" for name, where in wanted.items() if name not in exported]
    strange = [f"{name} is exported and declared nowhere" for name in sorted(exported - set(wanted))]
    print(*missing, *strange, sep="\n")
    print(f"{len(exported)} names are exported, {len(missing)} are missing")
    return bool(missing or strange or len(exported) < 40)


if __name__ == "__main__":
    sys.exit(main())
