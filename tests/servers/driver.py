# SPDX-License-Identifier: BSL-1.0
"""A server as a program, and its clients, for the tests beside this: PROGRAM [BACKEND] on the command line.

A program of another system runs by the command that the environment's EMULATOR names, such as wine.
FAULTS is the library that faults.cpp is built into, which is preloaded to make system calls fail.
"""

import atexit
import errno
import functools
import os
import resource
import select
import shlex
import signal
import socket
import subprocess
import sys
import time
import unittest

PROGRAM, BACKEND = [*(word for word in sys.argv[1:3] if not word.startswith("-")), None, None][:2]
EMULATOR = shlex.split(os.environ.get("EMULATOR", ""))
COMMAND = [*EMULATOR, PROGRAM]
FAULTS = os.environ.get("FAULTS")
ON_LINUX = sys.platform == "linux"
FOR_WINDOWS = str(PROGRAM).endswith(".exe")
END = signal.SIGINT if FOR_WINDOWS else signal.SIGTERM  # wine makes the former a Ctrl-C
PATIENCE = 20  # seconds until a test gives up; no test takes that long when it passes


@functools.cache
def wake_emulator():
    """The first program starts Wine's services, which inherit its descriptors: no pipe that a test reads."""
    first = subprocess.Popen(
        [*COMMAND, "--port", "0"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    atexit.register(lambda: (first.send_signal(END), first.wait(PATIENCE), first.stdout.close()))
    first.stdout.readline()


@functools.cache
def has_sanitizer():
    with open(PROGRAM, "rb") as program:
        contents = program.read()
    return b"__asan_init" in contents or b"__tsan_init" in contents


def launch(*arguments, limit=None, faults=None, **more):
    """Starts the program with these arguments and a limit on its descriptors; `faults` as in faults.cpp."""
    if EMULATOR:
        wake_emulator()
    # A sanitizer's quarantine would count as growing memory, which the tests bound.
    options = "quarantine_size_mb=1:verify_asan_link_order=0:" + os.environ.get("ASAN_OPTIONS", "")
    environment = dict(os.environ, ASAN_OPTIONS=options)
    if faults:
        environment.update(faults, LD_PRELOAD=FAULTS)
    before = (lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))) if limit else None
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more}
    return subprocess.Popen([*COMMAND, *arguments], preexec_fn=before, env=environment, **streams)


def text(data):
    """What the program has written, with this system's line ends."""
    return data.decode().replace("\r\n", "\n") if FOR_WINDOWS else data.decode()


def run(*arguments):
    """Runs the program to its end: (exit code, stdout, stderr)."""
    with launch(*arguments) as process:
        out, err = process.communicate(timeout=PATIENCE)
    return process.returncode, text(out), text(err)


def exit_code(process):
    """After a process has ended: Wine's server kills those that are left a second later."""
    return 0 if FOR_WINDOWS and process.returncode == -signal.SIGKILL else process.returncode


class Server:
    """A running server; `address` is where it listens."""

    def __init__(self, *arguments, host="127.0.0.1", vocabulary=True, **more):
        if vocabulary:
            arguments = "--host", host, "--port", "0", "--backend", BACKEND, *arguments
        self.process = launch(*arguments, **more)
        line = text(self.process.stdout.readline())
        assert line.startswith("listening on "), (line, self.process.stderr.read())
        host, _, port = line.removeprefix("listening on ").strip().rpartition(":")
        self.address = host.strip("[]"), int(port)

    def connect(self):
        return Client(self.address)

    def end(self, how=END):
        """Ends it by a signal: (exit code, stderr)."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        err = self.process.communicate(timeout=PATIENCE)[1]
        return exit_code(self.process), text(err)

    def pids(self):
        """Its processes."""
        return [self.process.pid]

    def ps(self, what, pid):
        command = ["ps", "-o", f"{what}=", "-p", str(pid)]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def cpu(self):
        """The seconds of processor time it has used."""
        return sum(self.cpu_of(pid) for pid in self.pids())

    def cpu_of(self, pid):
        if not ON_LINUX:
            return sum(
                60**i * float(part) for i, part in enumerate(reversed(self.ps("time", pid).split(":")))
            )
        with open(f"/proc/{pid}/stat") as stat:
            fields = stat.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self):
        """The bytes of memory it has resident."""
        return sum(self.memory_of(pid) for pid in self.pids())

    def memory_of(self, pid):
        if not ON_LINUX:
            return int(self.ps("rss", pid)) * 1024
        with open(f"/proc/{pid}/statm") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def descriptors(self):
        """How many descriptors it has open; of a program for Windows, how many sockets."""
        return self.sockets() if FOR_WINDOWS else sum(self.descriptors_of(pid) for pid in self.pids())

    def descriptors_of(self, pid):
        if ON_LINUX:
            return len(os.listdir(f"/proc/{pid}/fd"))
        listed = subprocess.run(["lsof", "-F", "f", "-p", str(pid)], capture_output=True, text=True).stdout
        return sum(line[0] == "f" and line[1:].isdigit() for line in listed.split())

    def sockets(self):
        """The sockets belong to Wine's server; the port tells which. A closed one has no inode."""
        count = 0
        for table in "/proc/net/tcp", "/proc/net/tcp6":
            with open(table) as rows:
                for row in list(rows)[1:]:
                    fields = row.split()
                    count += int(fields[1].rpartition(":")[2], 16) == self.address[1] and fields[9] != "0"
        return count


class Client:
    """A TCP connection that is read by lines or by counts."""

    def __init__(self, address):
        self.socket = socket.create_connection(address, PATIENCE)
        self.buffer = b""

    def send(self, data):
        self.socket.sendall(data)

    def more(self):
        data = self.socket.recv(1 << 16)
        self.buffer += data
        return data

    def read(self, count):
        while len(self.buffer) < count and self.more():
            pass
        data, self.buffer = self.buffer[:count], self.buffer[count:]
        return data

    def line(self):
        """The next line without its end, or None at the end of the stream."""
        while b"\n" not in self.buffer:
            if not self.more():
                return None
        line, _, self.buffer = self.buffer.partition(b"\n")
        return line.decode()

    def rest(self):
        """Everything until the end of the stream; a reset counts as the end."""
        try:
            while self.more():
                pass
        except ConnectionError:
            pass
        data, self.buffer = self.buffer, b""
        return data

    def fill(self):
        """Sends until the other side accepts no more for a moment; returns how many bytes it accepted."""
        self.socket.setblocking(False)
        sent, block = 0, b"x" * 65536
        while select.select([], [self.socket], [], 0.3)[1]:
            try:
                sent += self.socket.send(block)
            except BlockingIOError:
                pass
        self.socket.settimeout(PATIENCE)
        return sent

    def reset(self):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.socket.close()

    def close(self):
        self.socket.close()


def free_port():
    """For a program that cannot let the system choose a port: a free one."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def until(condition):
    """Polls for a condition that is not reported to the test in another way, and returns what it is then."""
    end = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.005)
    return found


class ServerTest(unittest.TestCase):
    END = 0  # the exit code after a signal
    SERVER = Server

    def server(self, *arguments, **more):
        server = self.SERVER(*arguments, **more)
        self.addCleanup(server.process.stderr.close)
        self.addCleanup(server.process.stdout.close)
        self.addCleanup(lambda: self.assertEqual(server.end()[0], self.END))
        return server

    def connect(self, server):
        client = server.connect()
        self.addCleanup(client.close)
        return client

    def assert_idle(self, server, seconds=0.3):
        """While nothing happens, the server uses no processor time."""
        before = server.cpu()
        select.select([], [], [], seconds)
        self.assertLess(server.cpu() - before, seconds / 3)


class CommandLine(ServerTest):
    """What the servers have in common; each runs these."""

    def test_help(self):
        code, out, err = run("--help")
        self.assertEqual((code, err), (0, ""))
        for word in "--host", "--port", "--backend", "--verbose", "--help":
            self.assertIn(word, out)
        backends = out.partition("one of: ")[2].partition("\n")[0].split()
        for word in BACKEND, "poll", "select":
            self.assertIn(word, backends)

    def test_wrong_usage(self):
        for arguments in (
            ["--nonsense"],
            ["--port"],
            ["--port", "65536"],
            ["--port", "-1"],
            ["--port", "12x"],
            ["--port", ""],
            ["--backend", "iocp"],
            ["stray"],
            ["-x"],
            ["--port="],
            ["--port=65536"],
            ["--verbose=yes"],
            ["--=1"],
            [""],
        ):
            code, out, err = run(*arguments)
            self.assertEqual((code, out), (2, ""), arguments)
            self.assertNotEqual(err, "")
        self.assertIn("--port 65536", run("--port=65536")[2])

    def test_start_up_failures_are_one_line(self):
        taken = self.server()
        for arguments in (
            ["--port", str(taken.address[1])],
            ["--host", "no.such.host.invalid", "--port", "0"],
            ["--host", "203.0.113.1", "--port", "0"],
        ):
            code, out, err = run(*arguments)
            self.assertEqual((code, out), (1, ""), arguments)
            self.assertEqual(err.count("\n"), 1, err)
        self.assertIn("bind 127.0.0.1", run("--port", str(taken.address[1]))[2])
        if not FOR_WINDOWS:  # which has another text for it, and wine has none
            self.assertIn("in use", run("--port", str(taken.address[1]))[2])

    def ends_by(self, how):
        server = self.server()
        client = self.connect(server)
        self.serves(client)
        self.assertEqual(server.end(how), (0, ""))
        client.rest()
        with self.assertRaises(ConnectionRefusedError):
            server.connect()

    def test_sigint_ends_it(self):
        self.ends_by(signal.SIGINT)

    @unittest.skipIf(FOR_WINDOWS, "a program for Windows does not hear of SIGTERM")
    def test_sigterm_ends_it(self):
        self.ends_by(signal.SIGTERM)

    def test_sigpipe_and_a_closed_stdout(self):
        process = launch("--port", "0", "--backend", BACKEND)
        process.stdout.readline()
        process.stdout.close()
        if not FOR_WINDOWS:
            process.send_signal(signal.SIGPIPE)
        process.send_signal(END)
        self.assertEqual(process.communicate(timeout=PATIENCE)[1], b"")
        self.assertEqual(exit_code(process), 0)

    @unittest.skipIf(
        FOR_WINDOWS, "wine's server holds the sockets of all programs: none has a limit of its own"
    )
    def test_out_of_descriptors_it_pauses_and_goes_on(self):
        server = self.server(limit=14)
        clients = [self.connect(server) for _ in range(20)]
        until(lambda: server.descriptors() == 14)
        self.assert_idle(server)
        for client in clients[:12]:
            client.close()
        self.serves(clients[-1])

    def test_an_accept_error_that_stays_pauses_accepting(self):
        if not FAULTS:
            self.skipTest("there is no library of faults here")
        for error in (
            errno.EPERM,
            errno.EACCES,
            errno.EINVAL,
            errno.EPROTO,
            errno.ENOBUFS,
            errno.ENOMEM,
            errno.EMFILE,
            errno.ENFILE,
            errno.ENOSR,
            errno.EOPNOTSUPP,
            errno.EBADF,
        ):
            with self.subTest(errno.errorcode[error]):
                began = time.monotonic()
                server = self.server(faults={"ACCEPT_FAILS": f"{error},3"})
                self.serves(self.connect(server))
                self.assertGreater(time.monotonic() - began, 0.3)

    def test_while_accepting_is_paused_the_others_are_served(self):
        if not FAULTS:
            self.skipTest("there is no library of faults here")
        server = self.server(faults={"ACCEPT_FAILS": f"{errno.EPERM},1000000"})
        waiting = self.connect(server)
        self.assert_idle(server, 1)
        waiting.close()

    def test_an_accept_error_of_one_connection_does_not_pause(self):
        if not FAULTS:
            self.skipTest("there is no library of faults here")
        for error in errno.ECONNABORTED, errno.EINTR:
            server = self.server(faults={"ACCEPT_FAILS": f"{error},1000"})  # would be paused for 100 seconds
            self.serves(self.connect(server))

    def test_each_allocation_that_fails_costs_one_client_at_most(self):
        if not FAULTS or has_sanitizer():
            self.skipTest("no allocation can be made to fail here")
        failed = 0
        for first in range(1, 200):
            server = self.server(faults={"NEW_FAILS": f"{first},1"})
            served = 0
            for client in [self.connect(server) for _ in range(4)]:
                try:
                    self.serves(client)
                    served += 1
                except (AssertionError, ConnectionError):
                    client.close()
            self.assertGreaterEqual(served, 3, f"allocation {first} failed")
            code, err = server.end()
            self.assertEqual(code, 0)
            if not err:
                break
            failed += 1
        self.assertGreater(failed, 3)
        self.assertEqual(err, "", "there are more allocations than were tried")

    def test_memory_that_is_out_for_a_while_ends_no_server(self):
        if not FAULTS or has_sanitizer():
            self.skipTest("no allocation can be made to fail here")
        server = self.server(faults={"NEW_FAILS": "1,20"})

        def is_served():
            client = self.connect(server)
            try:
                self.serves(client)
                return True
            except (AssertionError, ConnectionError):
                return False
            finally:
                client.close()

        until(is_served)
        code, err = server.end()
        self.assertEqual((code, err), (0, "faults: out of memory\n" * 20))

    def test_vanished_peers_are_looked_for(self):
        if not ON_LINUX or FOR_WINDOWS:
            self.skipTest("timers of sockets are seen in Linux's /proc")
        server = self.server()
        self.serves(self.connect(server))
        keepalive = "02"  # the kind of timer, in proc(5) of Linux; in hundredths of seconds

        def in_how_long():  # none while data is on its way; a row may be there twice while others come and go
            with open("/proc/net/tcp") as rows:
                fields = [row.split() for row in list(rows)[1:]]
            established = [
                row
                for row in fields
                if int(row[1].rpartition(":")[2], 16) == server.address[1] and row[3] == "01"
            ]
            timers = [row[5].partition(":") for row in established]
            return next((when for kind, _, when in timers if kind == keepalive), None)

        self.assertLessEqual(int(until(in_how_long), 16), 60 * os.sysconf("SC_CLK_TCK"))

    def test_a_stdout_that_cannot_be_written_is_an_error(self):
        if FOR_WINDOWS:
            self.skipTest("wine starts no program without standard streams")
        for redirection, why in ((">&-", "Bad file descriptor"), (">/dev/full", "No space left on device")):
            if "full" in redirection and not os.path.exists("/dev/full"):
                continue
            for option in ["--port", "0"], ["--help"]:
                with self.subTest(redirection, option=option):
                    command = ["sh", "-c", f'exec "$@" {redirection}', "sh", *COMMAND, *option]
                    done = subprocess.run(
                        command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=PATIENCE
                    )
                    self.assertEqual(done.returncode, 1)
                    self.assertEqual(done.stderr.count(b"\n"), 1, done.stderr)
                    self.assertIn(b"write to stdout: " + why.encode(), done.stderr)

    def test_ipv6(self):
        try:
            socket.create_server(("::1", 0), family=socket.AF_INET6).close()
        except OSError as error:
            self.skipTest(f"no IPv6 here: {error}")
        self.serves(self.connect(self.server(host="::1")))

    def test_a_reset_disturbs_nobody(self):
        server = self.server()
        other = self.connect(server)
        self.serves(other)
        for _ in range(20):
            client = server.connect()
            client.send(b"something\n" * 1000)
            client.reset()
        self.serves(other)


def main():
    unittest.main(argv=sys.argv[:1] + sys.argv[1 + bool(PROGRAM) + bool(BACKEND) :], verbosity=2)
