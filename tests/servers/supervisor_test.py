# SPDX-License-Identifier: BSL-1.0
"""The supervisor starts again what ends, once a second at most, and ends everything on SIGTERM."""

import signal
import subprocess
import sys
import time

start = time.monotonic()
signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # which a program inherits
supervisor = subprocess.Popen([sys.argv[1], "exit 3", "exec sleep 100"], stdout=subprocess.PIPE, text=True)
signal.signal(signal.SIGCHLD, signal.SIG_DFL)
for _ in range(3):
    assert supervisor.stdout.readline() == "ended: exit 3, status 768\n"
assert time.monotonic() - start >= 1.9
supervisor.send_signal(signal.SIGTERM)
rest, _ = supervisor.communicate(timeout=30)
assert "ended: exec sleep 100, status 15\n" in rest, rest
assert supervisor.returncode == 0, supervisor.returncode
