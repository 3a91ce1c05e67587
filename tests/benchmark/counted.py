# SPDX-License-Identifier: BSL-1.0
"""The parts of run.py that count: the same on every run."""

import shutil
import sys

import exact
import suite
import system_calls
from suite import keep_counts, keep_exact, given, here, note, of_all, peers, program, results

RINGS = {(1000, 100): 20000, (9000, 1): 5000, (9000, 1000): 20000}
EDGE_RINGS = {(1000, 100): 20000, (9000, 1): 5000}
TIMERS = 100000
TIMER_WORKS = (
    ("later", "move one of 100,000 timers later", 95),
    ("idle", "move it later, and to look for what is due", 95),
    ("churn", "cancel one of 100,000 timers and add another", 240),
    ("expire", "add one of 100,000 timers and have it expire", None),
)
KEYS = (10_000, 100_000, 1_000_000)


def ring_name(pairs, active):
    return f"{pairs:,} pairs, {active:,} active"


def bar_of(active, compiler):
    if active != 1:
        return 8
    return 18 if compiler.startswith("clang") else 15


def count_rings():
    for (pairs, active), events in RINGS.items():
        what = ring_name(pairs, active)
        for compiler, directory in suite.builds():
            is_all = directory == given.build and not given.quick
            commands = of_all("ring", pairs, active, events, who=peers if is_all else ["selectors"])
            commands = {
                name: [directory / command[0].relative_to(given.build), *command[1:]]
                for name, command in commands.items()
            }
            counted = exact.instructions_of_each(commands, events)
            if is_all:
                counted |= exact.instructions_of_each(
                    {"cpython": [sys.executable, here / "ring.py", pairs, active, events // 10]}, events / 10
                )
            keep_counts(suite.row(f"ring, {what}", compiler), counted)
            keep_exact(
                f"instructions an event above by hand, {what}",
                counted["selectors"] - counted["by_hand"],
                bar_of(active, compiler),
                compiler=compiler,
            )


def edge_commands(pairs, active, events):
    commands = {who: program("ring_edge", who, pairs, active, events) for who in ("by_hand", "selectors")}
    if "mio" in peers and not given.quick:
        commands["mio"] = program("ring", "mio", pairs, active, events)
    return commands


def count_edges():
    for (pairs, active), events in EDGE_RINGS.items():
        what = ring_name(pairs, active)
        level = exact.instructions_of_each(of_all("ring", pairs, active, events, who=["selectors"]), events)
        edge = exact.instructions_of_each(edge_commands(pairs, active, events), events)
        keep_counts(f"edge, ring, {what}", edge)
        keep_exact(
            f"instructions of an edge more than a level, {what}",
            edge["selectors"] - edge["by_hand"] - (level["selectors"] - level["by_hand"]),
            0.5,
            recorded=False,
        )


def count_calls():
    for compiler, directory in suite.builds():
        calls = directory / "calls"

        def of(call):
            return exact.instructions_of_a_call(calls, call)

        for what, figure, promised in (
            ("instructions of `find`", of("find"), 12),
            ("instructions of `modify` to what is in force", of("modify"), 30),
            ("instructions of `modify` to something else", of("flip"), 100),
        ):
            keep_exact(what, figure, promised, compiler=compiler)
        each = {
            call: exact.instructions_of_each_more(calls, call, 4000)
            for call in ("dup", "add", "register", "unregister", "again")
        }
        bare = each["add"] - each["dup"]
        keep_exact(
            "instructions to register, above epoll_ctl",
            each["register"] - each["dup"] - bare,
            compiler=compiler,
        )
        keep_exact(
            "instructions to register again, above epoll_ctl",
            each["again"] - each["unregister"] - bare,
            compiler=compiler,
        )
    calls = given.build / "calls"
    keep_exact(
        "bytes of a handle, beside its data",
        max(exact.printed_by([calls, "memory", n])[0] for n in (1000, 1200, 1600, 2500, 5000, 9000, 15000)),
        57,
    )
    cold, warm = exact.printed_by([calls, "allocations", 1000])
    keep_exact("allocations to register 1,000 handles", cold)
    keep_exact("allocations afterwards, whatever is done", warm, 0)


def count_flips():
    commands = of_all("flips", 20000, who=["selectors"] if given.quick else peers)
    counted = exact.instructions_of_each(commands, 20000)
    keep_counts("write interest on and off", counted)
    keep_exact("instructions of a flip above by hand", counted["selectors"] - counted["by_hand"], 20)


def count_waits():
    counted = exact.instructions_of_each(of_all("timed_waits", 2000, who=["selectors"]), 2000)
    keep_exact("instructions of a wait of 5 s, above epoll_pwait2", counted["selectors"] - counted["by_hand"])
    who = ["selectors"] if given.quick else ["selectors", *(one for one in ("libev", "asio") if one in peers)]
    counted = exact.instructions_of_each(of_all("deadlines", 10000, who=who), 10000)
    keep_counts("an event that moves an idle timeout", counted)
    keep_exact(
        "instructions of an event that moves an idle timeout, above by hand",
        counted["selectors"] - counted["by_hand"],
    )


def count_posts():
    mailbox = given.build / "mailbox"
    keep_exact("instructions of a post", exact.instructions_of_a_call(mailbox, "post"), 100)
    keep_exact(
        "instructions of a post and its share of the `take`", exact.instructions_of_a_call(mailbox, "take")
    )


def count_timers():
    for work, title, promised in TIMER_WORKS:
        commands = {who: program("timers", who, work, TIMERS) for who in ("selectors", "none")}
        counted = exact.instructions_of_each(commands, TIMERS)
        keep_exact(f"instructions to {title}", counted["selectors"] - counted["none"], promised)


def count_scale():
    """A million keys, over the scripted backend: what a key costs is the same as among ten thousand."""
    for work, title in (
        ("register", "register a key and destroy it"),
        ("dispatch", "report a key, its part of the scripted wait among them"),
        ("iterate", "go past a key"),
        ("heal", "leak a key and heal it"),
    ):
        sizes = (KEYS[0], KEYS[-1]) if given.quick else KEYS
        each = {
            keys: exact.instructions_of_each({work: program("scale", work, keys)}, keys)[work]
            for keys in sizes
        }
        note(f"  {title}: {each}")
        keep_exact(f"instructions to {title}, of a million", each[KEYS[-1]])
        keep_exact(
            f"instructions to {title}, of a million beside of 10,000",
            each[KEYS[-1]] / each[KEYS[0]],
            1.2,
            recorded=False,
        )
    size = {keys: exact.printed_by(program("scale", "bytes", keys))[0] for keys in KEYS}
    keep_exact("bytes of a key and of the scripted backend's, at the most", max(size.values()), 112)


def count_system_calls():
    if not given.examples or not shutil.which("strace"):
        return note("  system calls: strace or the example servers are not there: skipped")
    for what, (talk, commands) in system_calls.servers(given.build, given.examples).items():
        if "selectors" not in commands:
            note(f"  system calls: {what}_server is not there: skipped")
            continue
        each = {
            who: round(sum(system_calls.of_a_request(command, talk).values()), 1)
            for who, command in commands.items()
        }
        keep_counts(f"system calls, {what}", each)
        keep_exact(f"system calls of a request above by hand, {what}", each["selectors"] - each["by_hand"], 0)


def count_sizes():
    """The echo server beside the one by hand. What unwinds and what names symbols is told apart from code."""
    ours, theirs = (exact.sizes(given.build / f"echo_{who}") for who in ("selectors", "by_hand"))
    keep_exact("bytes of code of an echo server above by hand", ours["code"] - theirs["code"], 12 * 1024)
    keep_exact(
        "bytes of unwinding tables of an echo server above by hand", ours["unwinding"] - theirs["unwinding"]
    )
    keep_exact("bytes of symbols of an echo server above by hand", ours["symbols"] - theirs["symbols"])
    keep_exact("bytes of all of them, of an echo server", sum(ours.values()))
    umbrella = given.build / "include_umbrella.cpp"
    umbrella.write_text("#include <selectors/selectors.hpp>\n")
    keep_exact(
        "bytes of a program's part that includes the umbrella and uses nothing",
        exact.code_size(given.compiler, umbrella, [f"-I{given.include}"]),
        0,
    )


PARTS = (count_rings, count_edges, count_calls, count_flips, count_waits, count_posts, count_timers)
PARTS += (count_scale, count_system_calls, count_sizes)
