# SPDX-License-Identifier: BSL-1.0
"""Makes one header of all by following includes: `single_header.py INCLUDE_DIRECTORY OUTPUT [DIRECTORY]`.

What the umbrella includes comes first. What stands around a selector follows in sections, one for each header
of `AROUND`: defining SELECTORS_NO_<NAME> leaves one out, SELECTORS_NO_EXTRAS all of them. A header that
several sections need is kept as long as one of them is.

In DIRECTORY each header's path is made there as a file that includes OUTPUT: what was
written for the headers compiles against the one file.
"""

import os
import pathlib
import re
import sys

UMBRELLA = "selectors.hpp"
# What a program may want beside the umbrella; what is not in the directory is left out.
AROUND = (
    "timer_queue.hpp",
    "mailbox.hpp",
    "signal_set.hpp",
    "child_exit.hpp",
    "waitable.hpp",
    "coroutine.hpp",
    "backend/afd.hpp",
    "testing.hpp",
)
# What a section needs of the compiler.
NEEDED = {"coroutine.hpp": "SELECTORS_HAS_COROUTINES"}
OWN = re.compile(r"^[ \t]*#[ \t]*include[ \t]*<selectors/([^>]+)>")
INCLUDE = re.compile(r"^#include <[^>]+>")
LICENCE = "// SPDX-License-Identifier: BSL-1.0\n"
GUARD = "SELECTORS_SINGLE_HEADER"


def condition_of(name):
    wanted = f"!defined({macro(name)})"
    return f"({wanted} && {NEEDED[name]})" if name in NEEDED else wanted


def macro(name):
    return "SELECTORS_NO_" + re.sub(r"\W", "_", pathlib.PurePath(name).stem).upper()


def order(start, headers, done):
    """What START needs and is not in DONE: each header once, after those that it includes; START is last."""
    found = []

    def visit(name):
        if name in done or name in found:
            return
        for line in headers[name].splitlines():
            if match := OWN.match(line):
                visit(match[1])
        found.append(name)

    visit(start)
    return found


def body(text):
    """The includes of the system that a header always needs; and its text without these, licence, guard."""
    system, kept, depth = [], [], 0
    for line in text.splitlines():
        if re.match(r"[ \t]*#[ \t]*if", line):
            depth += 1
        elif re.match(r"[ \t]*#[ \t]*endif", line):
            depth -= 1
        if line + "\n" == LICENCE or line == "#pragma once" or OWN.match(line):
            continue
        if depth == 0 and INCLUDE.match(line):
            system.append(INCLUDE.match(line)[0])
        else:
            kept.append(line)
    return system, re.sub(r"\n{3,}", "\n\n", "\n".join(kept)).strip("\n")


def block(names, headers):
    """Headers one after the other, below the includes of the system that they share."""
    system, bodies = set(), []
    for name in names:
        needed, text = body(headers[name])
        system.update(needed)
        if text:
            bodies.append(f"// ---- selectors/{name}\n\n{text}\n")
    return "\n".join((["\n".join(sorted(system)) + "\n"] if system else []) + bodies)


def single_header(headers):
    """HEADERS: {name: text}. The text of the one header, and the names of those that are in it."""
    ground = order("config.hpp", headers, ())
    umbrella = order(UMBRELLA, headers, ground)
    around = [name for name in AROUND if name in headers]
    needs = {name: order(name, headers, (*ground, *umbrella)) for name in around}
    extras = []
    for needed in needs.values():
        extras += [name for name in needed if name not in extras]

    version = ".".join(
        re.search(rf"^#define SELECTORS_VERSION_{part} (\d+)$", headers["version.hpp"], re.M)[1]
        for part in ("MAJOR", "MINOR", "PATCH")
    )
    parts = [
        f"{LICENCE}\n"
        f"// selectors {version} as one header: Python's selectors for C++20. It is made from headers of\n"
        "// the project, which are easier to read. Compile with -std=c++20 and -pthread. A program that\n"
        "// defines one of these before it includes this file leaves a part out, and compiles faster:\n//\n"
        + "".join(f"//   #define {macro(name)}\n" for name in around)
        + "//   #define SELECTORS_NO_EXTRAS  // all of these\n",
        f"#ifndef {GUARD}\n#define {GUARD}\n",
        "#if defined(SELECTORS_NO_EXTRAS)\n"
        + "".join(f"#ifndef {macro(name)}\n#define {macro(name)}\n#endif\n" for name in around)
        + "#endif\n",
        block(ground, headers),
        block(umbrella, headers),
    ]
    # Neighbours that the same sections need share a condition.
    position = 0
    while position < len(extras):
        users = [name for name in around if extras[position] in needs[name]]
        run = [extras[position]]
        while position + len(run) < len(extras) and users == [
            name for name in around if extras[position + len(run)] in needs[name]
        ]:
            run.append(extras[position + len(run)])
        condition = " || ".join(map(condition_of, users))
        parts.append(f"#if {condition}\n\n{block(run, headers)}\n#endif  // {condition}\n")
        position += len(run)
    parts.append(f"#endif  // {GUARD}\n")
    return "\n".join(parts), [*ground, *umbrella, *extras]


def main():
    directory, output = pathlib.Path(sys.argv[1]) / "selectors", pathlib.Path(sys.argv[2])
    headers = {path.relative_to(directory).as_posix(): path.read_text() for path in directory.rglob("*.hpp")}
    text, included = single_header(headers)
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(text)
    print(f"{output}: {len(included)} headers, {text.count(chr(10))} lines")
    if len(sys.argv) > 3:
        for name in included:
            stand_in = pathlib.Path(sys.argv[3]) / "selectors" / name
            stand_in.parent.mkdir(parents=True, exist_ok=True)
            way = pathlib.PurePath(os.path.relpath(output, stand_in.parent)).as_posix()
            stand_in.write_text(f'#include "{way}"\n')
    if left := sorted(set(headers) - set(included)):
        sys.exit(f"in no section: {' '.join(left)}; list them in AROUND")


if __name__ == "__main__":
    sys.exit(main())
