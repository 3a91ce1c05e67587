# SPDX-License-Identifier: BSL-1.0
"""The parts of run.py that take time: ratios, of programs that take turns. Nothing is asserted of them."""

import json
import os
import pathlib
import statistics
import subprocess
import sys

import contest
import exact
import suite
from counted import EDGE_RINGS, RINGS, TIMER_WORKS, TIMERS, edge_commands, ring_name
from suite import (
    broken,
    given,
    here,
    installed,
    keep_exact,
    keep_times,
    of_all,
    peers,
    program,
    rounds,
    scale,
)


def run_compilers():
    units = {}
    sources = {
        "umbrella": ["selectors/selectors.hpp"],
        "four headers": ["sys/epoll.h", "chrono", "system_error", "vector"],
    }
    if "asio" in installed:
        sources["asio"] = ["asio.hpp"]
    for name, headers in sources.items():
        units[name] = given.build / f"include_{name.replace(' ', '_')}.cpp"
        units[name].write_text("".join(f"#include <{header}>\n" for header in headers))
    units["echo_selectors"] = here / "echo_selectors.cpp"
    if "asio" in installed:
        units["echo_asio"] = here / "echo_asio.cpp"
    flags = [f"-I{given.include}"]
    counted = {name: exact.lines(given.compiler, unit, flags) for name, unit in units.items()}
    keep_exact("preprocessed lines of the umbrella", counted["umbrella"])
    times = exact.compile_times(given.compiler, units, flags, max(1, rounds // 3))
    for ours, theirs, promised in (
        ("umbrella", "four headers", 1.00),
        ("umbrella", "asio", 0.25),
        ("echo_selectors", "echo_asio", 0.40),
    ):
        if theirs in units:
            keep_exact(
                f"preprocessed lines: {ours} beside {theirs}", counted[ours] / counted[theirs], recorded=False
            )
            keep_times(
                f"compile: {ours} beside {theirs}",
                {"selectors": contest.ratios(times, theirs)[ours]},
                promised,
            )


def run_rings():
    for (pairs, active), events in RINGS.items():
        commands = of_all("ring", pairs, active, events // scale)
        commands["cpython"] = [sys.executable, here / "ring.py", pairs, active, events // scale]
        keep_times(
            f"ring, {ring_name(pairs, active)}", contest.ratios(contest.take_turns(commands, rounds)), 1.03
        )
    for (pairs, active), events in EDGE_RINGS.items():
        what = f"edge, ring, {ring_name(pairs, active)}"
        figures = contest.take_turns(edge_commands(pairs, active, events // scale), rounds)
        keep_times(what, contest.ratios(figures), 1.03)
        if "mio" in figures:
            keep_times(
                f"{what}, beside mio", {"selectors": contest.ratios(figures, "mio")["selectors"]}, 1.02
            )
    for backend in "poll", "select":
        commands = {
            name: program("ring", f"{name}_{backend}", 400, 40, 20000 // scale)
            for name in ("by_hand", "selectors")
        }
        keep_times(
            f"ring on {backend}, 400 pairs, 40 active",
            contest.ratios(contest.take_turns(commands, rounds)),
            1.05,
        )


def run_workloads():
    keep_times(
        "short connections", contest.ratios(contest.take_turns(of_all("churn", 1000 // scale), rounds)), 1.03
    )
    flips = contest.take_turns(of_all("flips", 20000 // scale), rounds)
    keep_times("write interest on and off", contest.ratios(flips), 1.02)
    calls = {name: min(figures)[1] for name, figures in flips.items()}
    suite.keep_counts("epoll_ctl calls a flip", calls)
    keep_exact("epoll_ctl calls a flip, above by hand", calls["selectors"] - calls["by_hand"], 0)
    with_levels = of_all("idle")
    idle = contest.take_turns(
        {
            f"{name} {count}": program("idle", name, count, 5000 // scale)
            for name in with_levels
            for count in (10, 19000)
        },
        rounds,
    )
    keep_times(
        "10 ready among 19,000, beside 10 alone",
        {
            name: contest.ratios({"alone": idle[f"{name} 10"], "among": idle[f"{name} 19000"]}, "alone")[
                "among"
            ]
            for name in with_levels
            if name != "by_hand"
        },
        1.10,
    )
    keep_times(
        "10 ready among 19,000",
        contest.ratios({name: idle[f"{name} 19000"] for name in with_levels}),
        1.03,
    )
    two = ["selectors"]
    keep_times(
        "wake-up by another thread, there and back",
        contest.ratios(contest.take_turns(of_all("wakeup", 5000 // scale, who=two), rounds)),
        1.05,
    )
    for time, title, waits in (50_000, "50 µs", 100), (1_000_000, "1 ms", 50), (20_000_000, "20 ms", 10):
        played = contest.take_turns(of_all("timeouts", time, waits // scale, who=two), rounds)
        waited = {name: [[one] for figures in of for one in figures] for name, of in played.items()}
        late = {name: sorted(one for [one] in of) for name, of in waited.items()}
        if min(late["selectors"]) < 0:
            broken.append(f"a timeout of {title} ended {-min(late['selectors'])} ns early")
        keep_times(f"lateness of {title}, median", contest.ratios(waited, best=statistics.median), 1.05)
        suite.keep_counts(
            f"lateness of {title}, µs: median, 99th percentile",
            {
                name: [times[len(times) // 2] / 1000, times[len(times) * 99 // 100] / 1000]
                for name, times in late.items()
            },
        )


def run_waits():
    waits = of_all("timed_waits", 20000 // scale, who=["selectors"])
    keep_times("a wait of 5 s that finds something", contest.ratios(contest.take_turns(waits, rounds)), 1.03)
    who = ["selectors", *(name for name in ("libev", "asio") if name in installed)]
    figures = contest.take_turns(of_all("deadlines", 20000 // scale, who=who), rounds)
    keep_times("an event that moves an idle timeout", contest.ratios(figures))


def run_mailboxes():
    who = ["selectors", *(name for name in ("libuv", "asio") if name in installed)]
    for threads in 1, 4:
        times = contest.take_turns(of_all("mailbox", threads, 200000 // scale, who=who), rounds)
        keep_times(f"a post, {threads} thread{'s' if threads > 1 else ''}", contest.ratios(times))
        if "asio" in installed:
            keep_times(
                f"a post, {threads} thread{'s' if threads > 1 else ''}, beside asio::post",
                {"selectors": contest.ratios(times, "asio")["selectors"]},
                0.50,
            )


def run_timers():
    for work, title, _ in TIMER_WORKS:
        who = ["selectors", "multimap", *(["libev"] if "libev" in installed else [])]
        played = contest.take_turns({name: program("timers", name, work, TIMERS) for name in who}, rounds)
        for theirs, promised in {
            "libev": {"later": 0.6, "idle": None}.get(work, 1.3),
            "multimap": 0.5 if work == "churn" else None,
        }.items():
            if theirs in played:
                title_of = {"libev": "libev", "multimap": "std::multimap"}[theirs]
                keep_times(
                    f"timers: to {title}, beside {title_of}",
                    {"selectors": contest.ratios(played, theirs)["selectors"]},
                    promised,
                )


def run_coroutines():
    who = ["plain", "selectors", "deadline", *(["asio_read", "asio_wait"] if "asio" in installed else [])]
    for pairs, active in (2, 1), (100, 10):
        commands = {name: program("coroutines", name, pairs, active, 20000 // scale) for name in who}
        played = contest.take_turns(commands, rounds)
        for ours, what in ("selectors", ""), ("deadline", " with a deadline"):
            title = f"a coroutine's turn{what}, {pairs} pairs, {active} active"
            theirs = {"plain": ("a handler", 1.4 if ours == "selectors" else None)}
            if "asio" in installed and ours == "selectors":
                theirs["asio_read"] = ("Asio's awaited read", 1.0)
                theirs["asio_wait"] = ("Asio's awaited readiness", 1.0)
            for other, (name, promised) in theirs.items():
                keep_times(
                    f"{title}, beside {name}", {"selectors": contest.ratios(played, other)[ours]}, promised
                )


def run_operations():
    """Google Benchmark has the calls beside the loop take turns, at random."""
    out = subprocess.run(
        program(
            "operations",
            "--benchmark_enable_random_interleaving",
            f"--benchmark_repetitions={rounds}",
            "--benchmark_format=json",
        ),
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    times = {}
    for run in json.loads(out)["benchmarks"]:
        if run["run_type"] == "iteration":
            who, what = run["run_name"].split("/")[:2]
            times.setdefault(what, {}).setdefault(who, []).append([run["real_time"]])
    for what, figures in times.items():
        bar = {"register": 1.05, "register again": 1.02}.get(what, 1.10)
        keep_times(f"{what} 19,000", contest.ratios(figures), bar)


class Server:
    """A running echo server, of which its port and its processor time are known."""

    def __init__(self, command, processor=None):
        self.process = subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, text=True)
        if processor is not None:
            os.sched_setaffinity(self.process.pid, {processor})
        self.port = int(self.process.stdout.readline())

    def processor_time(self):
        return int(pathlib.Path(f"/proc/{self.process.pid}/schedstat").read_text().split()[0])

    def end(self):
        self.process.kill()
        self.process.wait()


def echo_commands():
    commands = of_all("echo", who=["selectors", *(name for name in ("mio", "polling") if name in installed)])
    return commands | {name: program(f"echo_{name}") for name in ("asio", "libuv") if name in installed}


def run_echo():
    commands = echo_commands()
    servers = {name: Server(command) for name, command in commands.items()}
    for connections in 1, 100, 5000:
        milliseconds = (600 if connections > 1000 else 300) // (scale if connections < 1000 else 1)
        clients = {
            name: contest.Contestant(program("load", server.port, connections, milliseconds))
            for name, server in servers.items()
        }
        figures = {name: [] for name in servers}
        for order in contest.turns(servers, max(2, rounds // 2)):
            for name in order:
                before = servers[name].processor_time()
                played = clients[name].play()
                figures[name].append([*played[:4], (servers[name].processor_time() - before) / played[4]])
        for client in clients.values():
            client.end()
        for field, what in enumerate(
            (
                "a request",
                "median trip",
                "99th percentile of trips",
                "99.9th percentile of trips",
                "processor time a request",
            )
        ):
            keep_times(
                f"echo, {connections:,} connections: {what}",
                contest.ratios(figures, field=field),
                1.03 if field in (0, 4) else None,
            )
        best = min(figures["selectors"])
        suite.keep_counts(
            f"echo, {connections:,} connections: requests a second", {"selectors": 1e9 / best[0]}
        )
    for server in servers.values():
        server.end()


def run_tails():
    """Requests at a pace that neither side is busy with, on a processor for each of the two."""
    connections, pace, milliseconds = 5000, 20_000, 1000 // scale
    processors = sorted(os.sched_getaffinity(0))
    servers = {name: Server(command, processors[0]) for name, command in echo_commands().items()}
    clients = {
        name: contest.Contestant(program("pace", server.port, connections, pace, milliseconds))
        for name, server in servers.items()
    }
    for client in clients.values():
        os.sched_setaffinity(client.process.pid, {processors[-1]})
    figures = {name: [] for name in servers}
    for order in contest.turns(servers, rounds):
        for name in order:
            figures[name].append(clients[name].play())
    for one in (*clients.values(), *servers.values()):
        one.end()
    for field, what in enumerate(("median", "99th percentile", "99.9th percentile")):
        keep_times(
            f"trips, {connections:,} connections at {pace:,} a second: {what}",
            contest.ratios(figures, field=field, best=statistics.median),
        )
    suite.keep_counts(
        "trips, µs: median, 99th and 99.9th percentile; the client late, 99.9th percentile",
        {
            name: [round(statistics.median(column) / 1000, 1) for column in zip(*played)]
            for name, played in figures.items()
        },
    )


PARTS = (run_compilers, run_rings, run_workloads, run_waits, run_mailboxes, run_timers, run_coroutines)
PARTS += (run_operations, run_echo, run_tails)
