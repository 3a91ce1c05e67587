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


def bytes_of_a_handle(count):
    run = subprocess.run([os.path.join(build, "control"), "memory", str(count)], capture_output=True, text=True, check=True)
    return int(run.stdout)


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


failed = []


def expect(what, figure, bound):
    """Remembers a figure that is worse than what was promised."""
    if figure > bound:
        failed.append(f"{what}: {figure:.2f}, promised {bound}")


def row(what, by_hand, ours, difference):
    print(f"| {what} | {by_hand} | {ours} | {difference} |", flush=True)


row("", "by hand", "selectors", "")
row("---", "--:", "--:", "--:")
raw, ours = (of_a_round("dispatch", loop, 100) / 100 for loop in ("raw", "selectors"))
expect("instructions an event", ours - raw, 12)
row("instructions an event, 100 ready at a time", f"{raw:.1f}", f"{ours:.1f}", f"+{ours - raw:.1f}")
raw, ours = (of_a_round("dispatch", loop, 1) for loop in ("raw", "selectors"))
expect("instructions a wait", ours - raw, 40)
row("instructions a wait with one event", f"{raw:.0f}", f"{ours:.0f}", f"+{ours - raw:.0f}")
none = of_a_round("control", "none")
for call in "modify", "find":
    cost = of_a_round("control", call) - none
    expect(call, cost, 30)
    row(f"instructions of `{call}`" + (" to what is in force" if call == "modify" else ""), "", f"{cost:.0f}", "")
worst = max(bytes_of_a_handle(count) for count in (1000, 1300, 5000, 15000))
expect("bytes of a handle", worst, 96)
row("bytes of a registered handle, beside its data", "", f"{worst}", "")
raw, ours = text_size("echo_by_hand"), text_size("echo_selectors")
expect("bytes of code", ours - raw, 16384)
row("bytes of an echo server's code", f"{raw:,}", f"{ours:,}", f"+{ours - raw:,}")
ours, asio = compile_time("selectors/selectors.hpp", f"-I{include}"), compile_time("asio.hpp")
expect("time to compile", ours / asio, 0.40)
row("time to compile the include, beside `<asio.hpp>`", "1", f"{ours / asio:.2f}", "")

for line in failed:
    print("worse than promised:", line)
sys.exit(bool(failed))
