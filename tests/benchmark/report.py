# SPDX-License-Identifier: BSL-1.0
"""Makes tables of what run.py measured, and puts them into a page: report.py RESULTS.json PAGE.md [CHART.svg]

In the page, what stands between `<!-- measured: PART -->` and `<!-- to here -->` becomes the tables of that
part; other parts stay as they are. `<!-- measured: in brief -->` takes one short table of them all. With
CHART.svg, draws the chart. Of a quick run no times are put in."""

import json
import pathlib
import re
import sys

titles = {
    "selectors": "selectors",
    "mio": "mio",
    "polling": "polling",
    "libev": "libev",
    "libuv": "libuv",
    "libevent": "libevent",
    "asio": "Asio",
    "cpython": "CPython",
}


def table(header, rows):
    yield "| " + " | ".join(header) + " |"
    yield "| --- |" + " --: |" * (len(header) - 1)
    for row in rows:
        yield "| " + " | ".join(row) + " |"
    yield ""


def number(value):
    if isinstance(value, list):
        return " / ".join(number(one) for one in value)
    return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"


def counted_table(figures):
    """What was counted of the peers, by what it is."""
    shown = ["by_hand", *titles]
    shown = [name for name in shown if any(name in of for of in figures.values())]
    yield from table(
        ["counted", *("by hand" if name == "by_hand" else titles[name] for name in shown)],
        [[what, *(number(of[name]) if name in of else "" for name in shown)] for what, of in figures.items()],
    )


def exact_table(figures):
    yield from table(
        ["exact", "selectors", "bar"],
        [
            [what, number(one["figure"]), "" if one["promised"] is None else f"{one['promised']:,}"]
            for what, one in figures.items()
        ],
    )


def times_table(figures):
    shown = [name for name in titles if any(name in of["peers"] for of in figures.values())]
    yield from table(
        ["time, beside the same by hand unless it says otherwise", *(titles[name] for name in shown), "bar"],
        [
            [
                what,
                *(of["peers"][name]["text"] if name in of["peers"] else "" for name in shown),
                f"{of['promised']:.2f}" if of["promised"] else "",
            ]
            for what, of in figures.items()
        ],
    )


def parts(results):
    """The parts that were run, in their order."""
    every = [one for kind in ("exact", "peers", "times") for one in results[kind].values()]
    return list(dict.fromkeys(one["part"] for one in every))


def tables_of(results, part, with_times=True):
    peers = {what: of["figures"] for what, of in results["peers"].items() if of["part"] == part}
    exact = {what: of for what, of in results["exact"].items() if of["part"] == part}
    times = {what: of for what, of in results["times"].items() if of["part"] == part}
    if peers and (with_times or part.startswith("count")):
        yield from counted_table(peers)
    if exact:
        yield from exact_table(exact)
    if times and with_times:
        yield from times_table(times)


def tables(results):
    for part in parts(results):
        yield f"{part}:"
        yield ""
        yield from tables_of(results, part)


def brief(results):
    """What an event costs, above the loop by hand."""
    rings = {what: of["figures"] for what, of in results["peers"].items() if what.startswith("ring, ")}
    shown = [name for name in titles if any(name in of for of in rings.values())]
    yield from table(
        ["user instructions an event above the loop by hand", *(titles[name] for name in shown)],
        [
            [what, *(f"+{of[name] - of['by_hand']:,.1f}" if name in of else "" for name in shown)]
            for what, of in rings.items()
        ],
    )


def put(text, marker, lines):
    """The text with what is between the marker and its end replaced; without the marker, the text."""
    pattern = re.compile(rf"(<!-- measured: {re.escape(marker)} -->\n).*?(<!-- to here -->\n)", re.DOTALL)
    middle = "\n".join(lines).strip("\n")
    return pattern.sub(lambda found: f"{found.group(1)}\n{middle}\n\n{found.group(2)}", text)


def chart(results):
    """The chart, as SVG: what an event costs with each of them."""
    workload = "1,000 pairs, 100 active"
    counted = results["peers"][f"ring, {workload}"]["figures"]
    bars = [
        (title, counted[name] - counted["by_hand"])
        for name, title in titles.items()
        if name in counted and name != "cpython"
    ]

    row, left, width = 30, 90, 460
    most = max(value for _, value in bars)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + width + 90}" '
        f'height="{row * len(bars) + 50}" '
        'font-family="sans-serif" font-size="14">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="8" y="24" font-weight="bold">Instructions an event, above a loop written by hand on epoll '
        f"({workload})</text>",
    ]
    for i, (title, value) in enumerate(bars):
        top, length = 40 + i * row, max(1, value / most * width)
        color = "#1a7f37" if title == "selectors" else "#8c959f"
        parts += [
            f'<text x="{left - 8}" y="{top + 16}" text-anchor="end">{title}</text>',
            f'<rect x="{left}" y="{top}" width="{length:.1f}" height="22" fill="{color}"/>',
            f'<text x="{left + length + 6:.1f}" y="{top + 16}">+{value:.0f}</text>',
        ]
    return "\n".join([*parts, "</svg>"]) + "\n"


def main():
    results, page, *drawn = (pathlib.Path(path) for path in sys.argv[1:])
    results = json.loads(results.read_text())
    text = put(page.read_text(), "in brief", brief(results))
    for part in parts(results):
        lines = list(tables_of(results, part, with_times=not results["quick"]))
        if lines:
            text = put(text, part, lines)
    page.write_text(text)
    for one in drawn:
        one.write_text(chart(results))


if __name__ == "__main__":
    main()
