# SPDX-License-Identifier: BSL-1.0
"""Draws the chart of README.md from what run.py measured: chart.py RESULTS.json CHART.svg"""

import json
import pathlib
import sys

results = json.loads(pathlib.Path(sys.argv[1]).read_text())
titles = {"selectors": "selectors", "libev": "libev", "libuv": "libuv", "libevent": "libevent", "asio": "Asio"}
workload = "1,000 pairs, 100 active"
counted = results["peers"][workload]
bars = [(title, counted[name] - counted["by_hand"]) for name, title in titles.items() if name in counted]

row, left, width = 30, 90, 460
most = max(value for _, value in bars)
parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + width + 90}" height="{row * len(bars) + 50}" '
         'font-family="sans-serif" font-size="14">',
         '<rect width="100%" height="100%" fill="white"/>',
         f'<text x="8" y="24" font-weight="bold">Instructions an event, above a loop written by hand on epoll ({workload})</text>']
for i, (title, value) in enumerate(bars):
    top, length = 40 + i * row, max(1, value / most * width)
    color = "#1a7f37" if title == "selectors" else "#8c959f"
    parts += [f'<text x="{left - 8}" y="{top + 16}" text-anchor="end">{title}</text>',
              f'<rect x="{left}" y="{top}" width="{length:.1f}" height="22" fill="{color}"/>',
              f'<text x="{left + length + 6:.1f}" y="{top + 16}">+{value:.0f}</text>']
pathlib.Path(sys.argv[2]).write_text("\n".join([*parts, "</svg>"]) + "\n")
