# SPDX-License-Identifier: BSL-1.0
"""Checks the floors of the house: no header includes one of a higher floor, and no headers include each other
in a circle. All of it is computed from the files: `floors.py INCLUDE_DIRECTORY`."""

import pathlib
import re
import sys

# From the ground up. A name that ends in a slash is a folder; a file that is listed by its own name is not on
# the floor of its folder.
FLOORS = (
    ("config.hpp", "version.hpp"),
    ("event.hpp", "handle.hpp", "error.hpp"),
    ("detail/",),
    ("os/",),
    ("registration.hpp",),
    ("backend/", "wakeup/", "wakeup.hpp", "key.hpp", "counters.hpp"),
    ("backends.hpp", "core/"),
    ("arguments.hpp", "ready_range.hpp", "key_iterator.hpp", "selector.hpp"),
    # What stands around a selector, which the umbrella leaves to those who want it.
    (
        "timer_queue.hpp",
        "mailbox.hpp",
        "signal_set.hpp",
        "child_exit.hpp",
        "child/",
        "waitable.hpp",
        "coroutine.hpp",
        "coroutine/",
        "testing.hpp",
        "backend/afd.hpp",
    ),
    ("selectors.hpp",),
)
UMBRELLA, AROUND = "selectors.hpp", len(FLOORS) - 2
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(<selectors/([^>]+)>|"[^"]*\.hpp")', re.M)


def floor_of(file):
    """The number of the floor that a file is on, or None."""
    for name in file, file[: file.find("/") + 1]:
        for number, floor in enumerate(FLOORS):
            if name in floor:
                return number
    return None


def includes_of(directory):
    """{header: [what it includes of the library]}; an include by quotes stands with its quotes."""
    return {
        str(path.relative_to(directory)): [
            found[2] or found[1] for found in INCLUDE.finditer(path.read_text())
        ]
        for path in sorted(directory.rglob("*.hpp"))
    }


def circles(includes):
    """Each circle that a search in depth meets, as the files on it."""
    done, path, found = set(), [], []

    def visit(file):
        if file in path:
            found.append(path[path.index(file) :] + [file])
        elif file not in done:
            path.append(file)
            for other in includes.get(file, ()):
                visit(other)
            done.add(path.pop())

    for file in includes:
        visit(file)
    return found


def complaints(includes):
    found = []
    for file, others in includes.items():
        floor = floor_of(file)
        if floor is None:
            found.append(f"{file} is on no floor: list it in tests/house/floors.py")
        for other in others:
            if other not in includes:
                found.append(f"{file} includes {other}, which is no header of the library")
            elif floor is not None and (above := floor_of(other)) is not None and above > floor:
                found.append(f"{file}, on floor {floor}, includes {other}, on floor {above}")
            if file == UMBRELLA and floor_of(other) == AROUND:
                found.append(f"{file} includes {other}, which stands around a selector")
    return found + ["in a circle: " + " includes ".join(circle) for circle in circles(includes)]


def main():
    includes = includes_of(pathlib.Path(sys.argv[1]) / "selectors")
    if not any(includes.values()):
        sys.exit(f"no header that includes another was found in {sys.argv[1]}")
    found = complaints(includes)
    print(*found, sep="\n")
    print(f"{len(includes)} headers, {sum(map(len, includes.values()))} includes, {len(found)} complaints")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
