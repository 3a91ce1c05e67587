# SPDX-License-Identifier: BSL-1.0
"""The programs of examples/with, and their servers, for the tests beside this: NAME_test.py PROGRAM

Every server listens on loopback, on a port that the system picks, and is ended by its own process id.
"""

import contextlib
import ctypes
import os
import queue
import resource
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

PROGRAM = sys.argv[1]
LIBC = ctypes.CDLL(None)
PATIENCE = 60  # seconds until a test gives up; nothing waits for them to pass


def free_port():
    """A port that the system had free just now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def eventually(condition, what):
    """Waits until `condition` is true, or returns something that is, and returns that."""
    until = time.monotonic() + PATIENCE
    while not (result := condition()):
        if time.monotonic() > until:
            raise AssertionError(f"never: {what}")
        time.sleep(0.02)
    return result


def answers(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def close_with_reset(connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


class Process:
    """A program that runs, read by lines. `limit` bounds its descriptors."""

    def __init__(self, *command, limit=None, **more):
        def before():
            LIBC.prctl(1, 9)  # PR_SET_PDEATHSIG: a test that is killed leaves nothing behind
            if limit:
                resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))

        self.errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen([str(word) for word in command], preexec_fn=before, **more,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors)
        self.pid = self.process.pid
        self.cpu = None  # once it has ended: the seconds of processor time that it used
        self.code = None
        self.lines = queue.Queue()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.put(line.decode(errors="replace").rstrip("\n"))
        self.lines.put(None)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end(9)
        self.close()

    def close(self):
        self.reader.join()
        self.process.stdout.close()
        self.errors.close()

    def stderr(self):
        self.errors.seek(0)
        return self.errors.read().decode(errors="replace")

    def line(self, patience=PATIENCE):
        """The next line of its output, or None at its end."""
        try:
            return self.lines.get(timeout=patience)
        except queue.Empty:
            raise AssertionError(f"{self.process.args[0]} says nothing; stderr: {self.stderr()}") from None

    def expect(self, start):
        """Reads lines until one starts so, and returns that one."""
        seen = []
        while (line := self.line()) is not None:
            if line.startswith(start):
                return line
            seen.append(line)
        raise AssertionError(f"never said: {start}; but {seen[-5:]}; stderr: {self.stderr()}")

    def rest(self):
        """All lines until it ends."""
        lines = []
        while (line := self.line()) is not None:
            lines.append(line)
        return lines

    def say(self, text):
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def cpu_so_far(self):
        with open(f"/proc/{self.pid}/stat") as stat:
            fields = stat.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def wait(self):
        """Its exit code, once it has ended by itself."""
        until = time.monotonic() + PATIENCE
        while self.code is None:
            pid, status, usage = os.wait4(self.pid, os.WNOHANG)
            if pid != 0:
                self.code = self.process.returncode = os.waitstatus_to_exitcode(status)
                self.cpu = usage.ru_utime + usage.ru_stime
            elif time.monotonic() > until:
                self.end(9)
                raise AssertionError(f"{self.process.args[0]} does not end; stderr: {self.stderr()}")
            else:
                time.sleep(0.01)
        return self.code

    def end(self, signal=15):
        """Ends it by a signal, if it is still there: its exit code."""
        if self.code is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal)
            self.wait()
        self.process.stdin.close()
        return self.code


def program(*arguments, **more):
    """Starts the program that is tested."""
    return Process(PROGRAM, *arguments, **more)


def run(*arguments, **more):
    """Runs the program that is tested to its end: (exit code, lines, stderr, seconds of processor time)."""
    with program(*arguments, **more) as process:
        lines = process.rest()
        return process.wait(), lines, process.stderr(), process.cpu


def server(port, *command, **more):
    """Starts a server and waits until it accepts connections on `port`."""
    process = Process(*command, **more)
    try:
        eventually(lambda: process.process.poll() is not None or answers(port), f"{command[0]} listens")
        if process.process.returncode is not None:
            raise AssertionError(f"{command[0]} ended: {process.rest()} {process.stderr()}")
    except BaseException:
        process.end(9)
        raise
    return process


def refusing_port():
    """A port that refuses connections and that nobody else gets: bound, and not listening."""
    bound = socket.socket()
    bound.bind(("127.0.0.1", 0))
    return bound
