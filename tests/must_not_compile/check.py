# SPDX-License-Identifier: BSL-1.0

"""Runs a compiler that must fail, with a message that matches and is short: check.py MESSAGE COMMAND..."""

import os
import re
import subprocess
import sys

MOST_LINES = 25


def main() -> int:
    message, command = sys.argv[1], sys.argv[2:]
    run = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"})
    lines = (run.stdout + run.stderr).splitlines()
    print("\n".join(lines))
    if run.returncode == 0:
        print("it compiles")
    elif not any(re.search(message, line) for line in lines):
        print(f"no line says: {message}")
    elif len(lines) > MOST_LINES:
        print(f"{len(lines)} lines are more than {MOST_LINES}")
    else:
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(main())
