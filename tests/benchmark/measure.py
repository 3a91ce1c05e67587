# SPDX-License-Identifier: BSL-1.0
"""What the library costs beside the same written by hand: measure.py BUILD_DIRECTORY INCLUDE_DIRECTORY COMPILER

Instructions are counted by callgrind in two runs that differ in the number of rounds alone, so that what starts and ends
a program is not counted; they are the same on every run. Times to compile are the least of several."""

import os
import re
import resource
import subprocess
import sys
import tempfile

build, include, compiler = sys.argv[1:4]


def instructions(*command):
    """The instructions of one run."""
    run = subprocess.run(["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", *command],
                         capture_output=True, text=True, check=True)
    return int(re.search(r"Collected : (\d+)", run.stderr).group(1))


def of_a_round(program, *arguments, rounds=1000):
    command = [os.path.join(build, program), *map(str, arguments)]
    return (instructions(*command, str(2 * rounds)) - instructions(*command, str(rounds))) / rounds


def text_size(program):
    """The bytes of code and constants of a program."""
    out = subprocess.run(["size", os.path.join(build, program)], capture_output=True, text=True, check=True).stdout
    return int(out.splitlines()[1].split()[0])


def compile_time(header, *flags, tries=7):
    """The processor time to compile a unit that includes a header and nothing else."""
    with tempfile.TemporaryDirectory() as directory:
        unit = os.path.join(directory, "unit.cpp")
        with open(unit, "w") as file:
            file.write(f"#include <{header}>\n")
        times = []
        for _ in range(tries):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run([compiler, "-std=c++20", *flags, "-c", unit, "-o", os.path.join(directory, "unit.o")], check=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        return min(times)


def row(what, by_hand, ours, difference):
    print(f"| {what} | {by_hand} | {ours} | {difference} |", flush=True)


row("", "by hand", "selectors", "")
row("---", "--:", "--:", "--:")
raw, ours = (of_a_round("dispatch", loop, 100) / 100 for loop in ("raw", "selectors"))
row("instructions an event, 100 ready at a time", f"{raw:.1f}", f"{ours:.1f}", f"+{ours - raw:.1f}")
raw, ours = (of_a_round("dispatch", loop, 1) for loop in ("raw", "selectors"))
row("instructions a wait with one event", f"{raw:.0f}", f"{ours:.0f}", f"+{ours - raw:.0f}")
none = of_a_round("control", "none")
for call in "modify", "find":
    cost = of_a_round("control", call) - none
    row(f"instructions of `{call}`" + (" to what is in force" if call == "modify" else ""), "", f"{cost:.0f}", "")
raw, ours = text_size("echo_by_hand"), text_size("echo_selectors")
row("bytes of an echo server's code", f"{raw:,}", f"{ours:,}", f"+{ours - raw:,}")
ours, asio = compile_time("selectors/selectors.hpp", f"-I{include}"), compile_time("asio.hpp")
row("time to compile the include, beside `<asio.hpp>`", "1", f"{ours / asio:.2f}", "")
