# SPDX-License-Identifier: BSL-1.0
"""What of the headers the test programs run, by clang's source-based coverage: coverage.py BUILD LINES
BRANCHES

Fails if less than these per cent of the lines, or of the branches, are run. A branch counts twice, for true
and for false, and in a template it is run if any instantiation runs it so. Lists what is not run. Needs the
packages clang-19 and llvm-19; BUILD is what `cmake --preset coverage` and `cmake --build --preset coverage`
have made, build/coverage."""

import collections
import concurrent.futures
import json
import os
import pathlib
import re
import subprocess
import sys

HEADERS = pathlib.Path(__file__).resolve().parents[2] / "include/selectors"
PROGRAMS = "unit", "conformance", "failures"
VERSION = "-19"


def run_tests(build):
    """Runs the programs; returns what llvm-cov is told of them. A child adds what it ran (%1m)."""

    def run(program):
        profile = str(build / f"{program}-%1m.profraw")
        environment = dict(os.environ, LLVM_PROFILE_FILE=profile)
        subprocess.run([build / "tests" / program], env=environment, check=True)
        return build.glob(f"{program}-*.profraw")

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        profiles = [profile for some in pool.map(run, PROGRAMS) for profile in some]
    merged = build / "all.profdata"
    subprocess.run(["llvm-profdata" + VERSION, "merge", "-o", merged, *profiles], check=True)
    first, *others = (str(build / "tests" / program) for program in PROGRAMS)
    return [first, *(f"-object={other}" for other in others), f"-instr-profile={merged}", str(HEADERS)]


def llvm_cov(command, *arguments):
    # It warns of the functions that two of the programs have with one name, such as main.
    return subprocess.run(
        ["llvm-cov" + VERSION, command, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=True,
    ).stdout


def lines_of(arguments):
    """{(file, line): whether it is run}, of the lines that have code."""
    lines, file = {}, None
    for text in llvm_cov("show", "--show-instantiations=false", *arguments).splitlines():
        if text.startswith("/"):
            file = pathlib.Path(text.rstrip(":")).relative_to(HEADERS)
        elif found := re.match(r" *(\d+)\| *([\d.]+)[kMGTPE]?\|", text):
            lines[str(file), int(found[1])] = found[2] != "0"
    return lines


def branches_of(arguments):
    """{(file, line, column): [how often true, how often false]}"""
    branches = collections.defaultdict(lambda: [0, 0])
    for function in json.loads(llvm_cov("export", *arguments))["data"][0]["functions"]:
        for line, column, _, _, true, false, file, *_ in function["branches"]:
            path = pathlib.Path(function["filenames"][file])
            if path.is_relative_to(HEADERS):
                counts = branches[str(path.relative_to(HEADERS)), line, column]
                counts[0] += true
                counts[1] += false
    return branches


def percent_of(name, run, all, least):
    percent = 100 * run / all
    print(f"{run} of {all} {name} ({percent:.1f} %, at least {least:g} %)")
    return percent >= least


def main():
    build, least_lines, least_branches = (
        pathlib.Path(sys.argv[1]).resolve(),
        float(sys.argv[2]),
        float(sys.argv[3]),
    )
    arguments = run_tests(build)
    lines, branches = lines_of(arguments), branches_of(arguments)

    def text(file, line):
        return (HEADERS / file).read_text().splitlines()[line - 1]

    for (file, line), is_run in sorted(lines.items()):
        if not is_run:
            print(f"{file}:{line}: never: {text(file, line).strip()}")
    for (file, line, column), counts in sorted(branches.items()):
        for count, way in zip(counts, ("true", "false")):
            if count == 0:
                print(f"{file}:{line}: never {way}: {text(file, line)[column - 1:]}")
    enough = [
        percent_of("lines", sum(lines.values()), len(lines), least_lines),
        percent_of("branches", sum(map(bool, sum(branches.values(), []))), 2 * len(branches), least_branches),
    ]
    return not all(enough)


if __name__ == "__main__":
    sys.exit(main())
