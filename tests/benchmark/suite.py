# SPDX-License-Identifier: BSL-1.0
"""What the parts of run.py share: the command line, the programs, and the results."""

import argparse
import pathlib
import resource
import shutil
import sys

import exact
import report

here = pathlib.Path(__file__).parent
arguments = argparse.ArgumentParser(
    description="Measures the library against everything a user would take instead, and prints the tables."
)
arguments.add_argument("build", type=pathlib.Path, help="where the programs are")
arguments.add_argument("include", help="where the headers are")
arguments.add_argument("compiler")
arguments.add_argument("--second", help="the compiler of the programs in the folder `second`")
arguments.add_argument("--examples", type=pathlib.Path, help="where the example servers are")
arguments.add_argument("--peers", default="", help="which peers are installed, separated by commas")
arguments.add_argument("--rounds", type=int, default=21, help="of each workload; more on a noisy machine")
arguments.add_argument("--only", default="", help="some parts alone, by name, separated by commas")
arguments.add_argument(
    "--quick",
    action="store_true",
    help="measure what is exact of the library, and try the rest only to see that it runs",
)
arguments.add_argument("--record", action="store_true", help="write recorded.json")
given = arguments.parse_args()

# Bars that are missed, each with its cause: a run names them and does not fail for them, unless they have
# become worse than recorded.json says. Whoever meets one takes it out here.
FLIP = "a key is looked up by its number, and the process, the key, its new events and the outcome are tested"
LAYOUT = "the same instructions, but for a jump into the loop that g++ spares the program of the levels alone"
KNOWN_MISSES = {
    "instructions of an edge more than a level, 9,000 pairs, 1 active": LAYOUT,
    "instructions of a flip above by hand": FLIP,
    "bytes of code of an echo server above by hand": "healing, forks and nested waiting are in every program",
}

# Of the workloads, those that there is a program in Rust for, and what it can run.
RUST = {"ring": ("mio", "polling"), "churn": ("mio", "polling"), "flips": ("mio", "polling")}
RUST |= {"echo": ("mio", "polling"), "idle": ("polling",)}

installed = [name for name in report.titles if name in given.peers.split(",")]
peers = ["selectors", *installed]  # and "cpython", a program of its own, for the ring alone
rounds = 2 if given.quick else given.rounds
scale = 10 if given.quick else 1
main_compiler = exact.compiler_name(given.compiler)
results = {
    "compiler": exact.identity(given.compiler),
    "quick": given.quick,
    "exact": {},
    "times": {},
    "peers": {},
}
broken = []
missed = []
part = ""  # that is running


def allow_descriptors(needed=19_100):
    """The largest workload has 19,000 descriptors, and the programs have the limit of this process. A process
    may raise its soft limit, which is usually 1,024, as far as the hard limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < needed:
        sys.exit(f"the benchmark needs {needed:,} descriptors, and the hard limit (ulimit -Hn) is {hard:,}")
    if soft != resource.RLIM_INFINITY and soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def program(name, *parameters):
    if parameters and parameters[0] in ("mio", "polling"):
        return [given.build / "rust" / name, *parameters]
    return [given.build / name, *parameters]


def of_all(name, *parameters, who=None):
    """The same workload by hand and by each of the peers that have a program for it."""
    some = [peer for peer in who or peers if peer not in ("mio", "polling") or peer in RUST.get(name, ())]
    return {peer: program(name, peer, *parameters) for peer in ["by_hand", *some]}


def builds():
    """Each compiler and where its programs are."""
    yield main_compiler, given.build
    if given.second and shutil.which(given.second):
        yield exact.compiler_name(given.second), given.build / "second"


def note(text):
    print(text, file=sys.stderr, flush=True)


def row(what, compiler):
    return what if compiler == main_compiler else f"{what}, {compiler}"


def keep_exact(what, figure, promised=None, recorded=True, compiler=main_compiler):
    """Keeps an exact figure, and whether it is worse than promised."""
    name = row(what, compiler)
    results["exact"][name] = {
        "what": what,
        "figure": round(figure, 3),
        "promised": promised,
        "recorded": recorded,
        "compiler": compiler,
        "part": part,
    }
    if promised is None:
        return
    if round(figure, 1) <= promised:  # a run may have a wait more or less, which is hundredths
        if name in KNOWN_MISSES:
            note(f"met now, so it need not be in KNOWN_MISSES: {name}")
    elif name in KNOWN_MISSES:
        missed.append(f"{name}: {figure:,.2f}, not {promised:,}: {KNOWN_MISSES[name]}")
    else:
        broken.append(f"{name}: {figure:.2f}, promised {promised}")


def keep_counts(what, by_peer):
    """Keeps exact figures of the peers; those by hand are what they are compared with."""
    note(f"  {what}: {by_peer}")
    results["peers"][what] = {"part": part, "figures": by_peer}


def keep_times(what, ratios, promised=None):
    """Keeps the ratios of times, by peer."""
    note(f"  {what}: " + ", ".join(f"{name} {ratio}" for name, ratio in ratios.items()))
    results["times"][what] = {
        "promised": promised,
        "part": part,
        "peers": {name: vars(ratio) | {"text": str(ratio)} for name, ratio in ratios.items()},
    }
