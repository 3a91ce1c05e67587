# SPDX-License-Identifier: BSL-1.0
"""The ring of ring.cpp on CPython's selectors: ring.py PAIRS ACTIVE EVENTS."""

import os
import selectors
import socket
import sys
import time

count, active, events = map(int, sys.argv[1:])
pairs = [socket.socketpair() for _ in range(count)]
selector = selectors.EpollSelector()
for i, (end, _) in enumerate(pairs):
    end.setblocking(False)
    selector.register(end.fileno(), selectors.EVENT_READ, pairs[(i + 1) % count][1].fileno())
for i in range(active):
    pairs[i * count // active][1].send(b"!")

print("ready", flush=True)
for _ in sys.stdin:
    passed = 0
    start = time.thread_time_ns()
    while passed < events:
        for key, _ in selector.select():
            os.write(key.data, os.read(key.fd, 1))
            passed += 1
    print((time.thread_time_ns() - start) / passed, flush=True)
