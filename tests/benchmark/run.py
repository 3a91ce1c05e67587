# SPDX-License-Identifier: BSL-1.0
"""Measures the library against everything a user would take instead, and prints the tables.

Times are ratios to the same written by hand, of programs that take turns; nothing is asserted of them. What
is exact must keep its promises and, under the compilers of recorded.json, be as it was recorded."""

import json
import sys

import counted
import report
import suite
import timed
from suite import broken, given, note, results

PARTS = counted.PARTS + timed.PARTS


def chosen_parts():
    names = [name for name in given.only.split(",") if name]
    known = {part.__name__: part for part in PARTS}
    if unknown := [name for name in names if name not in known]:
        sys.exit(f"no such part: {', '.join(unknown)}; there are {', '.join(known)}")
    return [known[name] for name in names] or PARTS


def compare_with_recorded():
    path = suite.here / "recorded.json"
    recorded = json.loads(path.read_text())
    now = {}
    for one in results["exact"].values():
        if one["recorded"]:
            now.setdefault(one["compiler"], {})[one["what"]] = one["figure"]
    if given.record:
        for compiler, figures in now.items():
            is_all = compiler == suite.main_compiler and not given.only
            recorded[compiler] = figures if is_all else recorded.get(compiler, {}) | figures
        path.write_text(json.dumps(recorded, indent=2, ensure_ascii=False) + "\n")
        return
    for compiler, figures in now.items():
        if compiler not in recorded:
            note(f"nothing is recorded of {compiler}")
            continue
        was = recorded[compiler]
        for what, figure in figures.items():
            name = suite.row(what, compiler)
            slack = max(0.05, abs(was.get(what, 0)) * 0.02)
            if what not in was:
                broken.append(f"{name}: {figure}, and nothing is recorded; --record writes it down")
            elif figure > was[what] + slack:
                broken.append(f"{name}: {figure}, recorded {was[what]}")
            elif figure < was[what] - slack:
                note(f"better than recorded: {name}: {figure}, was {was[what]}; --record writes it down")
        if compiler == suite.main_compiler and not given.only:
            broken.extend(f"{what}: not measured any more" for what in was if what not in figures)


suite.allow_descriptors()
for part in chosen_parts():
    suite.part = part.__name__
    note(suite.part.replace("_", " "))
    part()
compare_with_recorded()
(given.build / "results.json").write_text(json.dumps(results, indent=1, ensure_ascii=False))
print("\n".join(report.tables(results)))
for missing in sorted(set(report.titles) - {*suite.peers, "cpython"}):
    print(f"{report.titles[missing]}: not installed, skipped")
if given.quick:
    print("A quick run: the times above are no measurements.")
for line in suite.missed:
    print("missed, and known:", line)
for line in broken:
    print("worse than it must be:", line)
sys.exit(bool(broken))
