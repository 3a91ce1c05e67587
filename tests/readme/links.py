# SPDX-License-Identifier: BSL-1.0
"""What the pages link to is there: `links.py PROJECT_DIRECTORY`. Only files of the project are looked at."""

import pathlib
import re
import sys

root = pathlib.Path(sys.argv[1])
pages = [
    page
    for page in sorted(root.rglob("*.md"))
    if page.relative_to(root).parts[0] not in ("build", ".git") and not page.is_symlink()
]
dead, count = [], 0
for page in pages:
    text = re.sub(r"^ *```.*?^ *```$", "", page.read_text(), flags=re.M | re.S)  # code has brackets, too
    for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`\n]*`", "``", text)):
        if re.match(r"[a-z]+:|#", target):
            continue
        count += 1
        if not (page.parent / target.split("#")[0]).exists():
            dead.append(f"{page.relative_to(root)}: {target}")
print(*dead, sep="\n")
print(f"{len(pages)} pages, {count} links, {len(dead)} dead")
sys.exit(bool(dead) or count < 10)
