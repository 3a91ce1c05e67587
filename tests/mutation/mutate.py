# SPDX-License-Identifier: BSL-1.0
"""Mutation testing: changes the headers in hundreds of small ways, and sees whether the tests notice.

All mutants are in one build of the test programs, and the environment variable SELECTORS_MUTANT switches one
of them on; so the tests are compiled once. A mutant is killed by a test that fails, a crash or a time-out.
What survives is a test that is missing, or changes nothing that can be observed: then equivalent.txt says
why."""

import argparse
import concurrent.futures
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import time
import zlib

import mutations

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
HEADERS = pathlib.Path("include/selectors")
ELSEWHERE = re.compile("kqueue|winsock|afd")  # headers of which the compiler reads nothing here
# The test programs, each with what it is run with, the fastest first.
PROGRAMS = (
    ("unit", "--abort"),
    ("fuzz/fuzz_seeded", "--random", "1", "5000"),
    ("conformance", "--abort"),
    ("failures", "--abort"),
)
MEMORY = 4 << 20  # KiB of addresses that a test program may use
SWITCH = """\
#pragma once
#include <cstdlib>
inline const int selectors_mutant_on = [] {
  const char* const number = std::getenv("SELECTORS_MUTANT");
  return number != nullptr ? std::atoi(number) : 0;
}();
constexpr bool selectors_mutant(int number) noexcept {
  return !__builtin_is_constant_evaluated() && number == selectors_mutant_on;
}
"""
# The tests that are likely to see a change in a file, to be run before the rest.
RELATED = {
    "backend/epoll.hpp": "*- 0",
    "backend/poll.hpp": "*- 1",
    "backend/select.hpp": "*- 2",
    "backend/wakeup_eventfd.hpp": "[wakeup]",
    "detail/buffer.hpp": "[allocation],[limits]",
    "detail/core.hpp": "[moving],[fork],[lifetime]",
    "detail/core_keys.hpp": "[registration],[pausing],[files],[lifetime]",
    "detail/core_select.hpp": "[stale],[lost],[files],[failures]",
    "detail/fork.hpp": "[fork]",
    "detail/handle_table.hpp": "[registration]",
    "detail/pool.hpp": "[allocation],[lifetime],[data]",
    "detail/raise.hpp": "[registration],[limits],[allocation]",
    "detail/ready_range.hpp": "[stale],[lost]",
    "detail/record.hpp": "[files],[events]",
    "detail/timeout.hpp": "[time]",
    "selector.hpp": "[registration],[data],[time]",
}


class Build:
    """The tree with all mutants in it, compiled."""

    def __init__(self, work, jobs):
        self.tree, self.out, self.jobs = work / "tree", work / "out", jobs
        self.headers = [
            mutations.Header(str(path.relative_to(ROOT / HEADERS)), path.read_text())
            for path in sorted((ROOT / HEADERS).rglob("*.hpp"))
        ]
        self.mutants = [mutant for header in self.headers for mutant in header.mutants()]
        for number, mutant in enumerate(self.mutants, 1):
            mutant.number = number
        self.dropped = {mutant.number for mutant in self.mutants if ELSEWHERE.search(mutant.file)}

    def make(self):
        """Compiles, and drops what does not, until all compiles."""
        self._copy()
        shutil.rmtree(self.tree / "include", ignore_errors=True)
        self._render()
        everything = "".join(f"#include <selectors/{header.file}>\n" for header in self.headers)
        flags = ["-O1", "-include", str(self.out / "mutant.hpp"), "-DCATCH_CONFIG_RUNTIME_STATIC_REQUIRE"]
        probe = [
            os.environ.get("CXX", "c++"),
            "-std=c++20",
            "-fsyntax-only",
            *flags,
            f"-I{self.tree / 'include'}",
            "-xc++",
            "-",
        ]
        self._until_it_compiles(probe, everything)
        subprocess.run(
            [
                "cmake",
                "-S",
                self.tree,
                "-B",
                self.out,
                "-G",
                "Ninja",
                "-DSELECTORS_BUILD_EXAMPLES=OFF",
                "-DCMAKE_CXX_FLAGS=" + " ".join(flags),
            ],
            stdout=subprocess.DEVNULL,
            check=True,
        )
        self._until_it_compiles(
            [
                "ninja",
                "-C",
                str(self.out),
                "-k",
                "0",
                "-j",
                str(self.jobs),
                *(os.path.basename(program) for program, *_ in PROGRAMS),
            ]
        )
        self.mutants = [mutant for mutant in self.mutants if mutant.number not in self.dropped]

    def _write(self, path, data):
        """Only what differs is written, so that only that is compiled again."""
        if not path.exists() or path.read_bytes() != data:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)

    def _copy(self):
        files = [ROOT / "CMakeLists.txt", *(path for path in (ROOT / "tests").rglob("*") if path.is_file())]
        copies = {self.tree / path.relative_to(ROOT): path for path in files}
        for copy, path in copies.items():
            self._write(copy, path.read_bytes())
        for copy in self.tree.rglob("*"):
            if copy.is_file() and copy not in copies and self.tree / "include" not in copy.parents:
                copy.unlink()
        self._write(self.out / "mutant.hpp", SWITCH.encode())

    def _render(self):
        self.spans = {}
        for header in self.headers:
            text, spans = header.render(self.dropped)
            self.spans[header.file] = text.splitlines(), spans, text
            self._write(self.tree / HEADERS / header.file, text.encode())

    def _until_it_compiles(self, command, text=None):
        while True:
            run = subprocess.run(command, input=text, capture_output=True, text=True)
            if run.returncode == 0:
                return
            output = run.stdout + run.stderr
            place = re.escape(str(HEADERS)) + r"/([\w/]+\.hpp):(\d+):(\d+)"
            culprits = {
                number
                for found in re.findall(place + r": (?:fatal )?error", output)
                for number in self._at(*found)
            }
            if not culprits:  # in the standard library or in a test, on behalf of
                culprits = {number for found in re.findall(place, output) for number in self._at(*found)}
            if not culprits:
                sys.exit(output)
            for mutant in self.mutants:
                if mutant.number in culprits:
                    print(f"does not compile: {describe(mutant)}", flush=True)
            self.dropped |= culprits
            self._render()

    def _at(self, file, line, column):
        """The mutant in which this place of a rendered header is, or else all in its line."""
        lines, spans, text = self.spans[file]
        start = sum(len(one) + 1 for one in lines[: int(line) - 1])
        place = start + int(column) - 1
        inside = [mutant.number for begin, end, mutant in spans if begin <= place < end]
        return inside[-1:] or [
            mutant.number for begin, _, mutant in spans if start <= begin <= start + len(lines[int(line) - 1])
        ]


class Suite:
    """The programs, in the order in which they are run; `times` is how long each takes without a mutant."""

    def __init__(self, directory):
        self.directory, self.times = directory, {}

    def stages(self, mutant):
        related = RELATED.get(mutant.file)
        return [PROGRAMS[0], *([("conformance", "--abort", related)] if related else []), *PROGRAMS[1:]]

    def measure(self, mutants):
        """The tests must pass without a mutant, and with one that does not exist."""
        for stage in dict.fromkeys(stage for mutant in mutants for stage in self.stages(mutant)):
            start = time.monotonic()
            if (how := self._run(stage, 0, 600)) is not None:
                sys.exit(f"{' '.join(stage)}: {how} without a mutant")
            self.times[stage] = time.monotonic() - start
            print(f"{' '.join(stage)}: {self.times[stage]:.1f} s", flush=True)

    def kill(self, mutant):
        """How the tests kill a mutant, or None."""
        for stage in self.stages(mutant):
            if (how := self._run(stage, mutant.number, 3 * self.times[stage] + 10)) is not None:
                return f"{how}, {' '.join(stage)}"
        return None

    def _run(self, stage, number, limit):
        """Runs a program in a session of its own, so that what it leaves behind ends with it."""
        process = subprocess.Popen(
            [
                "sh",
                "-c",
                'ulimit -c 0; ulimit -v "$0"; exec "$@"',
                str(MEMORY),
                str(self.directory / stage[0]),
                *stage[1:],
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            cwd=self.directory,
            env=dict(os.environ, SELECTORS_MUTANT=str(number)),
        )
        end = time.monotonic() + limit
        # Until it is waited for, its number is that of no other group.
        while (ended := os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG)) is None:
            if time.monotonic() > end:
                break
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)
        code = process.wait()
        return "timed out" if ended is None else f"exit {code}" if code else None


def describe(mutant):
    return f"{mutant.file}:{mutant.line}: [{mutant.number}] {mutant.original} => {mutant.changed}"


def explanations():
    """{key of a mutant: why nothing can tell it from the original}"""
    known = {}
    for line in (HERE / "equivalent.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            place, change, reason = line.split(" ## ")
            file, _, context = place.partition(": ")
            known[file, context, change] = reason
    return known


def chosen(mutants, options):
    if options.only:
        wanted = {int(number) for number in options.only.split(",")}
        return [mutant for mutant in mutants if mutant.number in wanted]
    if options.sample:
        taken = random.Random(options.seed).sample(mutants, min(options.sample, len(mutants)))
    else:  # by what they are, so that a header that changes does not change the choice in the others
        taken = sorted(mutants, key=lambda mutant: zlib.crc32(repr(mutant.key()).encode()))[
            : options.most or None
        ]
    return sorted(taken, key=lambda mutant: mutant.number)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=pathlib.Path, default=ROOT / "build/mutation", help="where to build")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="how many at a time")
    parser.add_argument(
        "--most", type=int, default=400, help="run no more than these, the same ones each time; 0 for all"
    )
    parser.add_argument("--sample", type=int, metavar="N", help="run N of all, by chance")
    parser.add_argument("--seed", type=int, default=1, help="of that chance")
    parser.add_argument("--only", metavar="N,N...", help="run these")
    parser.add_argument(
        "--trust", action="store_true", help="believe equivalent.txt: do not run what it explains"
    )
    parser.add_argument("--list", action="store_true", help="build, and list them")
    parser.add_argument(
        "--at-least", type=float, default=95, metavar="P", help="fail if less of them are killed, in percent"
    )
    options = parser.parse_args()

    known = explanations()
    build = Build(options.work.resolve(), options.jobs)
    if of_nothing := known.keys() - {mutant.key() for mutant in build.mutants}:
        sys.exit(
            "\n".join(["equivalent.txt explains what there is not:", *map(" ## ".join, sorted(of_nothing))])
        )
    build.make()
    mutants = chosen(build.mutants, options)
    print(
        f"{len(build.mutants)} mutants, {len(build.dropped)} more are of other systems or do not compile; "
        f"{len(mutants)} to run",
        flush=True,
    )
    if options.list:
        print(*map(describe, mutants), sep="\n")
        return 0
    suite = Suite(build.out / "tests")
    suite.measure(mutants)
    trusted = [mutant for mutant in mutants if options.trust and mutant.key() in known]
    survivors = list(trusted)
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        running = {pool.submit(suite.kill, mutant): mutant for mutant in mutants if mutant not in trusted}
        for count, done in enumerate(concurrent.futures.as_completed(running), 1):
            mutant, how = running[done], done.result()
            print(f"{count}/{len(running)} {how or 'SURVIVED'}: {describe(mutant)}", flush=True)
            if how is None:
                survivors.append(mutant)

    survivors.sort(key=lambda mutant: mutant.number)
    explained = [mutant for mutant in survivors if mutant.key() in known]
    unexplained = [mutant for mutant in survivors if mutant.key() not in known]
    for mutant in explained:
        print(f"explained: {describe(mutant)}\n    {known[mutant.key()]}")
    for mutant in unexplained:
        print(f"survived: {describe(mutant)}\n    {mutant.context}")
    if not options.only and not options.sample and not options.most:
        for key in known.keys() - {mutant.key() for mutant in explained}:
            print("explains nothing:", *key)
    counted = len(mutants) - len(explained)
    killed = counted - len(unexplained)
    percent = 100 * killed / counted if counted else 100
    print(
        f"{len(mutants)} mutants: {killed} killed ({percent:.1f} %), {len(unexplained)} survived, "
        f"{len(explained)} explained"
    )
    return percent < options.at_least


if __name__ == "__main__":
    sys.exit(main())
