# SPDX-License-Identifier: BSL-1.0
"""Mutation testing: changes the headers in hundreds of small ways, and sees whether the tests notice.

All mutants are in one build of the test programs, and the environment variable SELECTORS_MUTANT switches one
of them on; so the tests are compiled once. First each test is run alone, to see how long it takes and which
mutants it reaches; then each mutant is met by the tests that reach it, the fastest first. It is killed by a
test that fails, a crash or a time-out. What survives is a test that is missing, or changes nothing that can
be observed: then equivalent.txt says why. Survivors are printed as equivalent.txt wants them. Needs what the
tests need (the packages g++, cmake, ninja-build and catch2)."""

import argparse
import concurrent.futures
import json
import mmap
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import zlib

import mutations

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
HEADERS = pathlib.Path("include/selectors")

# What is built and run, and which headers are changed; `probes` are the ways in which these are compiled.
SUITES = {
    "linux": {
        "targets": ("unit", "conformance", "failures", "fuzz_seeded"),
        "tests": "^(unit|conformance|failures|fuzz):",
        "headers": "",
        "options": [],
        "probes": [[]],
    },
    "kqueue": {
        "targets": (
            "conformance_kqueue",
            "kernels_kqueue",
            "kernels_macos",
            "conformance_libkqueue",
            "conformance_netbsd",
            "failures_kqueue",
            "fuzz_a_kernel",
            "fuzz_libkqueue",
            "fuzz_macos",
        ),
        "tests": "^kqueue:",
        "headers": "kqueue",
        "options": ["-DSELECTORS_TEST_KQUEUE=ON"],
        "probes": [
            [f"-isystem{ROOT / 'tests/kqueue'}", *more]
            for more in (
                ["-DSELECTORS_LIBKQUEUE=0"],
                ["-DSELECTORS_LIBKQUEUE=0", "-DKQUEUE_DOUBLE_OF_NETBSD"],
                ["-DSELECTORS_LIBKQUEUE=0", "-DSELECTORS_KQUEUE_MISSES_FIFO_END=1"],
                ["-DSELECTORS_LIBKQUEUE=1"],
            )
        ],
    },
}
MEMORY = 4 << 20  # KiB of addresses that a test program may use
SWITCH = """\
#pragma once
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cstdlib>
inline const int selectors_mutant_on = [] {
  const char* const number = std::getenv("SELECTORS_MUTANT");
  return number != nullptr ? std::atoi(number) : 0;
}();
// One byte for each mutant, in a file that a process shares with its children; null when nobody wants to
// know.
inline unsigned char* const selectors_mutants_reached = []() -> unsigned char* {
  const char* const path = std::getenv("SELECTORS_MUTANTS_REACHED");
  if (path == nullptr) return nullptr;
  const int file = ::open(path, O_RDWR | O_CLOEXEC);
  void* const bytes = ::mmap(nullptr, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  ::close(file);
  return bytes == MAP_FAILED ? nullptr : static_cast<unsigned char*>(bytes);
}();
[[gnu::noinline, gnu::cold]] inline void selectors_mutant_reached(int number) noexcept {
  selectors_mutants_reached[number] = 1;
}
constexpr bool selectors_mutant(int number) noexcept {
  if (__builtin_is_constant_evaluated()) return false;
  if (selectors_mutants_reached != nullptr) selectors_mutant_reached(number);
  return number == selectors_mutant_on;
}
"""


class Build:
    """The tree with all mutants in it, compiled."""

    def __init__(self, work, jobs, suite):
        self.tree, self.out, self.jobs, self.suite = work / "tree", work / "out", jobs, suite
        self.headers = [
            mutations.Header(str(path.relative_to(ROOT / HEADERS)), path.read_text())
            for path in sorted((ROOT / HEADERS).rglob("*.hpp"))
        ]
        self.mutants = [mutant for header in self.headers for mutant in header.mutants()]
        mutations.number(self.mutants)
        self.dropped = {mutant.number for mutant in self.mutants if suite["headers"] not in mutant.file}

    def make(self):
        """Compiles, and drops what does not, until all compiles."""
        self._copy()
        shutil.rmtree(self.tree / "include", ignore_errors=True)
        self._render()
        everything = "".join(f"#include <selectors/{header.file}>\n" for header in self.headers)
        flags = ["-O0", "-include", str(self.out / "mutant.hpp"), "-DCATCH_CONFIG_RUNTIME_STATIC_REQUIRE"]
        probe = [
            os.environ.get("CXX", "c++"),
            "-std=c++20",
            "-fsyntax-only",
            *flags,
            f"-I{self.tree / 'include'}",
            "-xc++",
            "-",
        ]
        probes = [[*probe, *more] for more in self.suite["probes"]]
        self._drop_what_is_left_out(probes, everything)
        for one in probes:
            self._until_it_compiles(one, everything)
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
                *self.suite["options"],
                "-DCMAKE_CXX_FLAGS=" + " ".join(flags),
            ],
            stdout=subprocess.DEVNULL,
            check=True,
        )
        ninja = ["ninja", "-C", str(self.out), "-k", "0", "-j", str(self.jobs)]
        self._until_it_compiles([*ninja, *self.suite["targets"]])
        self.mutants = [mutant for mutant in self.mutants if mutant.number not in self.dropped]

    def _drop_what_is_left_out(self, probes, text):
        """Drops what the preprocessor leaves out: it is of other systems."""
        read = set()
        for probe in probes:
            run = subprocess.run([*probe, "-E"], input=text, stdout=subprocess.PIPE, text=True, check=True)
            read |= set(map(int, re.findall(r"\bselectors_mutant\((\d+)\)", run.stdout)))
        self.dropped |= {mutant.number for mutant in self.mutants} - read
        self._render()

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
        self._write(self.out / "mutant.hpp", SWITCH.replace("SIZE", str(len(self.mutants) + 1)).encode())

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
    """The tests, each alone; `times` is how long each takes without a mutant, `reaching` which tests reach a
    mutant."""

    def __init__(self, out, count, deadline, suite):
        self.out, self.count, self.deadline = out, count, deadline
        listed = subprocess.run(
            ["ctest", "--test-dir", out, "--show-only=json-v1", "-R", suite["tests"]],
            stdout=subprocess.PIPE,
            check=True,
        )
        self.commands, self.environments = {}, {}
        for test in json.loads(listed.stdout)["tests"]:
            if os.path.basename(test["command"][0]) in suite["targets"]:
                self.commands[test["name"]] = test["command"]
                self.environments[test["name"]] = {
                    name: value
                    for one in test["properties"]
                    if one["name"] == "ENVIRONMENT"
                    for name, _, value in (text.partition("=") for text in one["value"])
                }
        self.times, self.reaching = {}, {}

    def measure(self, pool):
        """The tests must pass without a mutant; what each reaches is written down."""
        if not self.commands:
            sys.exit("there is no test")
        for name, (how, seconds, reached) in zip(self.commands, pool.map(self._measure, self.commands)):
            if how is not None:
                sys.exit(f"{name}: {how} without a mutant")
            self.times[name] = seconds
            for number in reached:
                self.reaching.setdefault(number, []).append(name)
        for names in self.reaching.values():
            names.sort(key=self.times.get)
        print(f"{len(self.commands)} tests, {sum(self.times.values()):.0f} s one after the other", flush=True)

    def _measure(self, name):
        with tempfile.NamedTemporaryFile() as file:
            file.truncate(self.count + 1)
            start = time.monotonic()
            how = self._run(name, 0, 600, {"SELECTORS_MUTANTS_REACHED": file.name})
            seconds = time.monotonic() - start
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as reached:
                return how, seconds, [number for number in range(1, self.count + 1) if reached[number]]

    def kill(self, mutant):
        """How the tests kill a mutant; None if they do not, "late" if there was no time to see it."""
        for name in self.reaching.get(mutant.number, ()):
            if time.monotonic() > self.deadline:
                return "late"
            if (how := self._run(name, mutant.number, 5 * self.times[name] + 3)) is not None:
                return f"{how}, {name}"
        return None if time.monotonic() <= self.deadline else "late"

    def _run(self, name, number, limit, more={}):
        """Runs a test in a session of its own, so that what it leaves behind ends with it."""
        process = subprocess.Popen(
            ["sh", "-c", 'ulimit -c 0; ulimit -v "$0"; exec "$@"', str(MEMORY), *self.commands[name]],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            cwd=self.out,
            env=dict(os.environ, SELECTORS_MUTANT=str(number), **self.environments[name], **more),
        )
        timer = threading.Timer(limit, os.killpg, (process.pid, signal.SIGKILL))
        timer.start()
        # Until it is waited for, its number is that of no other group.
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        timed_out = not timer.is_alive()
        timer.cancel()
        timer.join()
        os.killpg(process.pid, signal.SIGKILL)
        code = process.wait()
        return "timed out" if timed_out and code else f"exit {code}" if code else None


def describe(mutant):
    return f"{mutant.file}:{mutant.line}: [{mutant.number}] {mutant.original} => {mutant.changed}"


def text_of(key):
    """The key of a mutant as it stands in equivalent.txt."""
    return "{}: {}: {} #{}".format(*key)


def explanations(text):
    """{key of a mutant: why nothing can tell it from the original}"""
    known = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            key, reason = line.split(" ## ")
            place, _, ordinal = key.rpartition(" #")
            known[*place.split(": ", 2), int(ordinal)] = reason
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
    return taken


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--suite",
        choices=SUITES,
        default="linux",
        help="kqueue: the backend for kqueue(2) alone, by the tests over its double",
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
        "--minutes", type=float, help="begin with no other test after so long; what is left counts not"
    )
    parser.add_argument(
        "--trust", action="store_true", help="believe equivalent.txt: do not run what it explains"
    )
    parser.add_argument(
        "--check", action="store_true", help="only see whether equivalent.txt fits the headers"
    )
    parser.add_argument("--list", action="store_true", help="build, and list them")
    parser.add_argument(
        "--at-least", type=float, default=95, metavar="P", help="fail if less of them are killed, in percent"
    )
    options = parser.parse_args()

    start = time.monotonic()
    deadline = start + 60 * options.minutes if options.minutes else float("inf")
    known = explanations((HERE / "equivalent.txt").read_text())
    build = Build(options.work.resolve() / options.suite, options.jobs, SUITES[options.suite])
    stale = sorted(known.keys() - {mutant.key() for mutant in build.mutants})
    if options.check:
        for key in stale:
            print("equivalent.txt explains what there is not:", text_of(key))
        return bool(stale)
    build.make()
    mutants = chosen(build.mutants, options)
    print(
        f"{len(build.mutants)} mutants, {len(build.dropped)} more are of other systems or do not compile; "
        f"{len(mutants)} to run; built after {time.monotonic() - start:.0f} s",
        flush=True,
    )
    if options.list:
        for mutant in mutants:
            print(f"{describe(mutant)}\n    {text_of(mutant.key())}")
        return 0
    survivors, late = [], []
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        suite = Suite(build.out, len(build.mutants) + len(build.dropped), deadline, SUITES[options.suite])
        suite.measure(pool)
        trusted = {mutant.number for mutant in mutants if options.trust and mutant.key() in known}
        running = {
            pool.submit(suite.kill, mutant): mutant for mutant in mutants if mutant.number not in trusted
        }
        for count, done in enumerate(concurrent.futures.as_completed(running), 1):
            mutant, how = running[done], done.result()
            if how == "late":
                late.append(mutant)
                continue
            if how is None:
                how = "SURVIVED" if mutant.number in suite.reaching else "SURVIVED, reached by no test"
                survivors.append(mutant)
            print(f"{count}/{len(running)} {how}: {describe(mutant)}", flush=True)
    survivors += [mutant for mutant in mutants if mutant.number in trusted]

    survivors.sort(key=lambda mutant: mutant.number)
    explained = [mutant for mutant in survivors if mutant.key() in known]
    unexplained = [mutant for mutant in survivors if mutant.key() not in known]
    for mutant in explained:
        print(f"explained: {describe(mutant)}\n    {known[mutant.key()]}")
    for mutant in unexplained:
        print(f"survived: {describe(mutant)}\n    {mutant.context}")
    if unexplained:
        print("for equivalent.txt, with a reason, if nothing can tell them from the original:")
        print(*(f"{text_of(mutant.key())} ## " for mutant in unexplained), sep="\n")
    if len(mutants) == len(build.mutants) and not late:
        met = {mutant.key() for mutant in mutants}
        for key in sorted(known.keys() & met - {mutant.key() for mutant in explained}):
            print("killed, though equivalent.txt explains it:", text_of(key))
    for key in stale:
        print("equivalent.txt explains what there is not:", text_of(key))
    counted = len(mutants) - len(explained) - len(late)
    killed = counted - len(unexplained)
    percent = 100 * killed / counted if counted else 0 if late else 100
    print(
        f"{len(mutants) - len(late)} mutants: {killed} killed ({percent:.1f} %), "
        f"{len(unexplained)} survived, {len(explained)} explained; {len(late)} more were not met in time; "
        f"{time.monotonic() - start:.0f} s"
    )
    return percent < options.at_least or bool(stale)


if __name__ == "__main__":
    sys.exit(main())
