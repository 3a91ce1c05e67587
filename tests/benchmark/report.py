# SPDX-License-Identifier: BSL-1.0
"""Puts what run.py measured into README.md, and draws its chart: report.py RESULTS.json README.md
CHART.svg"""

import json
import pathlib
import sys

titles = {
    "selectors": "selectors",
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


def tables(results, brief=False):
    """The tables, in Markdown; in brief, what README.md has of them."""
    shown = [name for name in titles if any(name in of["peers"] for of in results["times"].values())]
    counted = {what: of for what, of in results["peers"].items() if "active" in what}
    yield from table(
        ["user instructions an event above the loop by hand", *(titles[name] for name in shown)],
        [
            [f"ring, {what}", *(f"+{of[name] - of['by_hand']:,.1f}" if name in of else "" for name in shown)]
            for what, of in counted.items()
        ],
    )
    yield ""
    left_out = ("compile", "timers", "a coroutine", "echo, 1 conn") if brief else ("compile", "timers", "a coroutine")
    timed = {
        what: of
        for what, of in results["times"].items()
        if not what.startswith(left_out) and not (brief and what.endswith(("median trip", "1,000 trips")))
    }
    yield from table(
        ["time, beside the loop by hand", *(titles[name] for name in shown), "bar"],
        [
            [
                what,
                *(of["peers"][name]["text"] if name in of["peers"] else "" for name in shown),
                f"{of['promised']:.2f}" if of["promised"] else "",
            ]
            for what, of in timed.items()
        ],
    )
    yield ""
    rows = [
        [
            what,
            f"{one['figure']:,.4g}" if one["figure"] < 1000 else f"{one['figure']:,.0f}",
            f"{one['promised']:,}" if one["promised"] is not None else "",
        ]
        for what, one in results["exact"].items()
        if not what.startswith("instructions an event")
    ]
    rows += [
        [what, of["peers"]["selectors"]["text"], f"{of['promised']:.2f}" if of["promised"] else ""]
        for what, of in results["times"].items()
        if what.startswith(("compile", "timers", "a coroutine"))
    ]
    yield from table(["what else it costs", "selectors", "bar"], rows)


def chart(results):
    """The chart, as SVG: what an event costs with each of them."""
    workload = "1,000 pairs, 100 active"
    counted = results["peers"][workload]
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
        f'({workload})</text>',
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
    results, readme, drawn = (pathlib.Path(path) for path in sys.argv[1:])
    results = json.loads(results.read_text())
    before, begin, after = readme.read_text().partition("<!-- measured -->\n")
    _, end, after = after.partition("<!-- to here -->\n")
    readme.write_text(before + begin + "\n".join(tables(results, brief=True)) + "\n" + end + after)
    drawn.write_text(chart(results))


if __name__ == "__main__":
    main()
