# SPDX-License-Identifier: BSL-1.0
"""Measures the library against everything a user would take instead, and prints the tables.

Times are ratios to the same written by hand, of programs that took turns; nothing is asserted of them. What
is exact must keep its promises and, under the compiler of recorded.json, be as it was recorded."""

import argparse
import json
import pathlib
import resource
import statistics
import subprocess
import sys

import contest
import exact
import report

here = pathlib.Path(__file__).parent
arguments = argparse.ArgumentParser(description=__doc__)
arguments.add_argument("build", type=pathlib.Path, help="where the programs are")
arguments.add_argument("include", help="where the headers are")
arguments.add_argument("compiler")
arguments.add_argument("--peers", default="", help="who is installed, by commas")
arguments.add_argument(
    "--rounds", type=int, default=21, help="of each workload; more of them on a noisy machine"
)
arguments.add_argument(
    "--quick",
    action="store_true",
    help="all that is exact of the library, and the rest only to see that it runs",
)
arguments.add_argument("--record", action="store_true", help="write recorded.json")
given = arguments.parse_args()

installed = [name for name in report.titles if name in given.peers.split(",")]
peers = ["selectors", *installed]  # and "cpython", a program of its own, for the ring alone
rounds = 2 if given.quick else given.rounds
scale = 10 if given.quick else 1
timer_count = 100000
timer_works = (("later", "move one of 100,000 timers later", 95), ("idle", "move it later, and to look for what is due", 95), ("churn", "cancel one of 100,000 timers and add another", 240),
               ("expire", "add one of 100,000 timers and have it expire", None))
rings = {(1000, 100): 20000, (9000, 1): 5000, (9000, 1000): 20000}

# The largest workload has 19,000 descriptors, and the programs have the limit of this process. A process may
# raise its soft limit, which is usually 1,024, as far as the hard limit.
needed_descriptors = 19_100
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
if hard != resource.RLIM_INFINITY and hard < needed_descriptors:
    sys.exit(
        f"the benchmark needs {needed_descriptors:,} descriptors, and the hard limit (ulimit -Hn) is {hard:,}"
    )
if soft != resource.RLIM_INFINITY and soft < needed_descriptors:
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed_descriptors, hard))

results = {"compiler": exact.identity(given.compiler), "exact": {}, "times": {}, "peers": {}}
broken = []


def program(name, *parameters):
    return [given.build / name, *parameters]


def of_all(name, *parameters, who=None):
    """The same workload by hand and by each of the peers."""
    return {peer: program(name, peer, *parameters) for peer in ["by_hand", *(who or peers)]}


def note(text):
    print(text, file=sys.stderr, flush=True)


def expect(what, figure, promised=None, recorded=True):
    """Remembers an exact figure, and whether it is worse than what was promised."""
    results["exact"][what] = {"figure": round(figure, 3), "promised": promised, "recorded": recorded}
    if promised is not None and figure > promised:
        broken.append(f"{what}: {figure:.2f}, promised {promised}")


def tell(what, ratios, promised=None):
    """Remembers the ratios of times, by peer."""
    note(f"  {what}: " + ", ".join(f"{name} {ratio}" for name, ratio in ratios.items()))
    results["times"][what] = {
        "promised": promised,
        "peers": {name: vars(ratio) | {"text": str(ratio)} for name, ratio in ratios.items()},
    }


# ---- what is exact ----


def ring_name(pairs, active):
    return f"{pairs:,} pairs, {active:,} active"


def count_rings():
    for (pairs, active), events in rings.items():
        who = ["selectors"] if given.quick else peers
        counted = exact.instructions_of_each(of_all("ring", pairs, active, events, who=who), events)
        if not given.quick:
            counted |= exact.instructions_of_each(
                {"cpython": [sys.executable, here / "ring.py", pairs, active, events // 10]}, events / 10
            )
        note(f"  instructions, {ring_name(pairs, active)}: {counted}")
        results["peers"][ring_name(pairs, active)] = counted
        expect(
            f"instructions an event above by hand, {ring_name(pairs, active)}",
            counted["selectors"] - counted["by_hand"],
            40 if active == 1 else 12,
        )


def count_calls():
    calls = given.build / "calls"
    expect("instructions of `find`", exact.instructions_of_a_call(calls, "find"), 12)
    expect("instructions of `modify` to what is in force", exact.instructions_of_a_call(calls, "modify"), 30)
    expect("instructions of `modify` to something else", exact.instructions_of_a_call(calls, "flip"))
    expect(
        "bytes of a handle, beside its data",
        max(
            exact.told_by([calls, "memory", count])[0]
            for count in (1000, 1200, 1600, 2500, 5000, 9000, 15000)
        ),
        96,
    )
    cold, warm = exact.told_by([calls, "allocations", 1000])
    expect("allocations to register 1,000 handles", cold)
    expect("allocations afterwards, whatever is done", warm, 0)
    for name in "echo_by_hand", "echo_selectors":
        expect(f"bytes of {name}", exact.text_size(given.build / name))
    figures = results["exact"]
    expect(
        "bytes of an echo server's program above by hand",
        figures["bytes of echo_selectors"]["figure"] - figures["bytes of echo_by_hand"]["figure"],
        16384,
    )


def count_posts():
    mailbox = given.build / "mailbox"
    expect("instructions of a post", exact.instructions_of_a_call(mailbox, "post"), 100)
    expect("instructions of a post and its share of the `take`", exact.instructions_of_a_call(mailbox, "take"))


def count_timers():
    for work, title, promised in timer_works:
        counted = exact.instructions_of_each({who: program("timers", who, work, timer_count) for who in ("selectors", "none")}, timer_count)
        expect(f"instructions to {title}", counted["selectors"] - counted["none"], promised)


def compile_all():
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
    expect("preprocessed lines of the umbrella", counted["umbrella"])
    expect(
        "bytes of a program's part that includes the umbrella and uses nothing",
        exact.code_size(given.compiler, units["umbrella"], flags),
        0,
    )
    times = exact.compile_times(given.compiler, units, flags, max(1, rounds // 3))
    for ours, theirs, promised in (
        ("umbrella", "four headers", 1.25),
        ("umbrella", "asio", 0.40),
        ("echo_selectors", "echo_asio", 0.40),
    ):
        if theirs in units:
            expect(
                f"preprocessed lines: {ours} beside {theirs}", counted[ours] / counted[theirs], recorded=False
            )
            tell(
                f"compile: {ours} beside {theirs}",
                {"selectors": contest.ratios(times, theirs)[ours]},
                promised,
            )


# ---- what takes time ----


def run_rings():
    for (pairs, active), events in rings.items():
        commands = of_all("ring", pairs, active, events // scale)
        commands["cpython"] = [sys.executable, here / "ring.py", pairs, active, events // scale]
        tell(f"ring, {ring_name(pairs, active)}", contest.ratios(contest.take_turns(commands, rounds)), 1.03)
    for backend in "poll", "select":
        commands = {
            name: program("ring", f"{name}_{backend}", 400, 40, 20000 // scale)
            for name in ("by_hand", "selectors")
        }
        tell(
            f"ring on {backend}, 400 pairs, 40 active",
            contest.ratios(contest.take_turns(commands, rounds)),
            1.05,
        )


def run_workloads():
    tell(
        "short connections", contest.ratios(contest.take_turns(of_all("churn", 1000 // scale), rounds)), 1.03
    )
    flips = contest.take_turns(of_all("flips", 20000 // scale), rounds)
    tell("write interest on and off", contest.ratios(flips), 1.03)
    results["peers"]["calls of epoll_ctl a flip"] = {name: min(figures)[1] for name, figures in flips.items()}
    expect(
        "calls of epoll_ctl a flip, above by hand",
        results["peers"]["calls of epoll_ctl a flip"]["selectors"]
        - results["peers"]["calls of epoll_ctl a flip"]["by_hand"],
        0,
    )
    idle = contest.take_turns(
        {
            f"{name} {count}": program("idle", name, count, 5000 // scale)
            for name in ["by_hand", *peers]
            for count in (10, 19000)
        },
        rounds,
    )
    tell(
        "10 ready among 19,000, beside 10 alone",
        {
            name: contest.ratios({"alone": idle[f"{name} 10"], "among": idle[f"{name} 19000"]}, "alone")[
                "among"
            ]
            for name in peers
        },
        1.10,
    )
    tell(
        "10 ready among 19,000",
        contest.ratios({name: idle[f"{name} 19000"] for name in ["by_hand", *peers]}),
        1.03,
    )
    two = ["selectors"]
    tell(
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
        tell(f"lateness of {title}, median", contest.ratios(waited, best=statistics.median), 1.05)
        results["peers"][f"lateness of {title}, µs: median, 99 in 100"] = {
            name: [times[len(times) // 2] / 1000, times[len(times) * 99 // 100] / 1000]
            for name, times in late.items()
        }


def run_mailboxes():
    who = ["selectors", *(name for name in ("libuv", "asio") if name in installed)]
    for threads in 1, 4:
        times = contest.take_turns(of_all("mailbox", threads, 200000 // scale, who=who), rounds)
        tell(f"a post, {threads} thread{'s' if threads > 1 else ''}", contest.ratios(times))
        if "asio" in installed:
            tell(f"a post, {threads} thread{'s' if threads > 1 else ''}, beside asio::post", {"selectors": contest.ratios(times, "asio")["selectors"]}, 0.50)


def run_timers():
    for work, title, _ in timer_works:
        who = ["selectors", "multimap", *(["libev"] if "libev" in installed else [])]
        played = contest.take_turns({name: program("timers", name, work, timer_count) for name in who}, rounds)
        for theirs, promised in {"libev": {"later": 0.6, "idle": None}.get(work, 1.3), "multimap": 0.5 if work == "churn" else None}.items():
            if theirs in played:
                title_of = {"libev": "libev", "multimap": "std::multimap"}[theirs]
                tell(f"timers: to {title}, beside {title_of}", {"selectors": contest.ratios(played, theirs)["selectors"]}, promised)


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
                tell(f"{title}, beside {name}", {"selectors": contest.ratios(played, other)[ours]}, promised)


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
        tell(f"{what} 19,000", contest.ratios(figures), 1.10)


class Server:
    """A running echo server, of which its port and its processor time are known."""

    def __init__(self, command):
        self.process = subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline())

    def processor_time(self):
        return int(pathlib.Path(f"/proc/{self.process.pid}/schedstat").read_text().split()[0])

    def end(self):
        self.process.kill()
        self.process.wait()


def run_echo():
    commands = {"by_hand": program("echo", "by_hand"), "selectors": program("echo", "selectors")}
    commands |= {name: program(f"echo_{name}") for name in ("asio", "libuv") if name in installed}
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
            ("a request", "median trip", "99 in 100 trips", "999 in 1,000 trips", "processor time a request")
        ):
            tell(
                f"echo, {connections:,} connections: {what}",
                contest.ratios(figures, field=field),
                1.03 if field in (0, 4) else None,
            )
        best = min(figures["selectors"])
        results["peers"][f"echo, {connections:,} connections: selectors, requests a second"] = {
            "selectors": 1e9 / best[0]
        }
    for server in servers.values():
        server.end()


# ---- what is made of it ----


def compare_with_recorded():
    path = here / "recorded.json"
    exact_now = {what: one["figure"] for what, one in results["exact"].items() if one["recorded"]}
    if given.record:
        path.write_text(
            json.dumps({"compiler": results["compiler"], "figures": exact_now}, indent=2, ensure_ascii=False)
            + "\n"
        )
        return
    recorded = json.loads(path.read_text())
    if recorded["compiler"].split()[-1] != results["compiler"].split()[-1]:
        return note(f"nothing is recorded of {results['compiler']}")
    for what, was in recorded["figures"].items():
        now = exact_now.get(what)
        if now is None or now > was + abs(was) * 0.02:
            broken.append(f"{what}: {now}, recorded {was}")
        elif now < was - abs(was) * 0.02:
            note(f"better than recorded: {what}: {now}, was {was}; --record writes it down")


PARTS = (
    count_rings,
    count_calls,
    count_posts,
    count_timers,
    compile_all,
    run_rings,
    run_workloads,
    run_mailboxes,
    run_timers,
    run_coroutines,
    run_operations,
    run_echo,
)
for part in PARTS:
    note(part.__name__.replace("_", " "))
    part()
compare_with_recorded()
(given.build / "results.json").write_text(json.dumps(results, indent=1, ensure_ascii=False))
print("\n".join(report.tables(results)))
for missing in sorted(set(report.titles) - {*peers, "cpython"}):
    print(f"{report.titles[missing]}: not installed, skipped")
if given.quick:
    print("A quick run: the times above are no measurements.")
for line in broken:
    print("worse than it must be:", line)
sys.exit(bool(broken))
