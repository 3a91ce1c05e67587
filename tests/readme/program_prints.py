# SPDX-License-Identifier: BSL-1.0
"""The first program of examples/README.md prints what the page says."""

import pathlib
import re
import subprocess
import sys

page = (pathlib.Path(sys.argv[1]) / "examples/README.md").read_text()
said = re.search(r"It prints\n\n```text\n(.*?)```", page, re.S).group(1)
printed = subprocess.run([sys.argv[2]], capture_output=True, text=True, timeout=10, check=True).stdout
if printed != said:
    print(f"examples/README.md says\n{said}\nbut it prints\n{printed}")
sys.exit(printed != said)
