# SPDX-License-Identifier: BSL-1.0
"""What is the same on every run: instructions, by callgrind, allocations and bytes. And the time to
compile."""

import concurrent.futures
import os
import re
import resource
import subprocess
import tempfile


def instructions(command, rounds):
    """The instructions of one run that plays so many rounds."""
    run = subprocess.run(
        ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", *map(str, command)],
        input=rounds * "\n",
        env=os.environ | {"SELECTORS_BENCHMARK_COUNTED": "1"},  # see interposed.hpp
        capture_output=True,
        text=True,
        check=True,
    )
    return int(re.search(r"Collected : (\d+)", run.stderr).group(1))


def instructions_of_each(commands, count):
    """The instructions of each of the commands, a dict by name, for one of the `count` things that a round of
    theirs is: two runs that differ in the number of rounds alone leave out what starts and ends a program."""
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        runs = {
            name: [pool.submit(instructions, command, rounds) for rounds in (1, 2)]
            for name, command in commands.items()
        }
        return {name: (two.result() - one.result()) / count for name, (one, two) in runs.items()}


def instructions_of_a_call(calls, call, count=10000):
    """The instructions of one call in a loop, above those of the loop."""

    def of(what):
        return instructions([calls, what, 2 * count], 0) - instructions([calls, what, count], 0)

    return (of(call) - of("none")) / count


def instructions_of_each_more(calls, call, count):
    """The instructions for each of so many handles when there are twice as many."""
    return (instructions([calls, call, 2 * count], 0) - instructions([calls, call, count], 0)) / count


def printed_by(command):
    """The numbers that a program prints."""
    run = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=True)
    return [int(number) for number in run.stdout.split()]


def sizes(program):
    """The bytes that a program has in memory before it runs: code with its constants, what unwinds the stack,
    and what the loader needs, which is mostly names of symbols."""
    out = subprocess.run(["size", "-A", program], capture_output=True, text=True, check=True).stdout
    found = {"code": 0, "unwinding": 0, "symbols": 0}
    for name, size in re.findall(r"^(\.\S+)\s+(\d+)\s+[1-9]\d*$", out, re.MULTILINE):
        if name in (".text", ".rodata", ".init", ".fini", ".plt", ".plt.got", ".plt.sec"):
            found["code"] += int(size)
        elif name.startswith((".eh_frame", ".gcc_except_table")):
            found["unwinding"] += int(size)
        elif name.startswith((".dyn", ".gnu.", ".rel", ".interp", ".note")) and name != ".dynamic":
            found["symbols"] += int(size)
    return found


def code_size(compiler, unit, flags):
    """The bytes of code and constants that a unit is compiled to."""
    with tempfile.TemporaryDirectory() as directory:
        compiled = os.path.join(directory, "unit.o")
        subprocess.run([compiler, "-std=c++20", "-O2", *flags, "-c", unit, "-o", compiled], check=True)
        out = subprocess.run(["size", compiled], capture_output=True, text=True, check=True).stdout
        return int(out.splitlines()[1].split()[0])


def lines(compiler, unit, flags):
    """The lines of a unit when all that it includes has been included, the empty ones left out."""
    out = subprocess.run(
        [compiler, "-std=c++20", *flags, "-E", "-P", unit], capture_output=True, text=True, check=True
    ).stdout
    return out.count("\n")


def compile_times(compiler, units, flags, tries):
    """The processor seconds to compile each of the units, a dict by name, again and again in turn."""
    times = {name: [] for name in units}
    with tempfile.TemporaryDirectory() as directory:
        for _ in range(tries):
            for name, unit in units.items():
                before = resource.getrusage(resource.RUSAGE_CHILDREN)
                subprocess.run(
                    [compiler, "-std=c++20", *flags, "-c", unit, "-o", os.path.join(directory, "unit.o")],
                    check=True,
                )
                after = resource.getrusage(resource.RUSAGE_CHILDREN)
                times[name].append([after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime])
    return times


def compiler_name(compiler):
    """As recorded.json has it: which one, and of which version."""
    out = subprocess.run(
        [compiler, "-dM", "-E", "-x", "c++", "/dev/null"], capture_output=True, text=True, check=True
    ).stdout
    macros = dict(re.findall(r"^#define (\w+) (\S+)$", out, re.MULTILINE))
    if "__clang__" in macros:
        return f"clang++ {macros['__clang_major__']}.{macros['__clang_minor__']}"
    return f"g++ {macros['__GNUC__']}.{macros['__GNUC_MINOR__']}"


def identity(compiler):
    """Which compiler it is, whatever it is called by."""
    return (
        subprocess.run([compiler, "--version"], capture_output=True, text=True, check=True)
        .stdout.splitlines()[0]
        .split(" ", 1)[1]
    )
