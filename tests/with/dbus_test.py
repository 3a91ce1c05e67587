# SPDX-License-Identifier: BSL-1.0
"""with_dbus on a bus of its own, with peers that are silent or break off: dbus_test.py PROGRAM"""

import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

import peers


class Dbus(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = f"{folder.name}/bus"
        self.address = f"unix:path={self.path}"
        self.start_bus()
        self.addCleanup(self.stop_bus)

    def start_bus(self):
        self.bus = peers.Process("dbus-daemon", "--session", "--nofork", "--nopidfile",
                f"--address={self.address}",
                                 "--print-address")
        self.bus.expect("unix:")

    def stop_bus(self, how=signal.SIGTERM):
        self.bus.end(how)
        self.bus.close()
        if os.path.exists(self.path):
            os.remove(self.path)

    def start(self, address=None, connected=True):
        environment = dict(os.environ, DBUS_SESSION_BUS_ADDRESS=address or self.address)
        process = peers.program(env=environment)
        self.addCleanup(process.close)
        self.addCleanup(process.end, 9)
        if connected:
            process.expect("connected")
        return process

    def finish(self, process):
        process.process.stdin.close()
        process.rest()
        self.assertEqual((process.wait(), process.stderr()), (0, ""))

    def ask(self, process, name):
        process.say(name + "\n")
        return process.line()

    def echo(self, text):
        asked = subprocess.run(["dbus-send", f"--bus={self.address}", "--print-reply=literal",
                "--dest=org.example.Echo",
                                "/org/example/Echo", "org.example.Echo.Echo", f"string:{text}"],
                               check=True, capture_output=True, text=True, timeout=peers.PATIENCE)
        return asked.stdout.strip()

    def silent_peer(self):
        """Somebody on the bus who answers nothing: (the connection, its name)."""
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(peers.PATIENCE)
        connection.connect(self.path)
        connection.sendall(b"\0AUTH EXTERNAL %s\r\n" % str(os.getuid()).encode().hex().encode())
        self.assertIn(b"OK", connection.recv(1000))
        fields = b""
        for code, kind, text in (1, b"o", b"/org/freedesktop/DBus"), (3, b"s", b"Hello"), (6, b"s",
                b"org.freedesktop.DBus"):
            fields += b"\0" * (-len(fields) % 8) + bytes([code, 1]) + kind + b"\0"
            fields += len(text).to_bytes(4, "little") + text + b"\0"
        header = b"l\1\0\1" + bytes(4) + b"\1\0\0\0" + len(fields).to_bytes(4, "little") + fields
        connection.sendall(b"BEGIN\r\n" + header + b"\0" * (-len(header) % 8))
        answer = b""
        while b":1." not in answer:
            answer += connection.recv(1000)
        time.sleep(0.1)
        name = answer[answer.index(b":1."):]
        return connection, name[:name.index(b"\0")].decode()

    def test_it_answers_and_asks(self):
        process = self.start()
        for n in range(10):
            self.assertEqual(self.echo(f"text {n}"), f"text {n}")
            self.assertEqual(self.ask(process, "org.freedesktop.DBus"), "pong")
            self.assertIn("not provided", self.ask(process, "org.example.Nobody"))
        self.assertEqual(self.ask(process, "org.example.Echo"), "pong")  # itself
        self.finish(process)

    def test_1000_calls_at_once(self):
        process = self.start()
        process.say("org.freedesktop.DBus\n" * 1000)
        self.assertEqual([process.line() for _ in range(1000)], ["pong"] * 1000)
        self.finish(process)

    def test_a_peer_that_is_silent(self):
        process = self.start()
        connection, name = self.silent_peer()
        before = process.cpu_so_far()
        start = time.monotonic()
        self.assertIn("timed out", self.ask(process, name))
        self.assertGreaterEqual(time.monotonic() - start, 0.49)
        self.assertLess(process.cpu_so_far() - before, 0.4)
        process.say(name + "\n")
        time.sleep(0.1)
        connection.close()  # in the middle
        self.assertNotEqual(process.line(), "pong")
        self.assertEqual(self.ask(process, "org.freedesktop.DBus"), "pong")
        self.finish(process)

    def test_a_bus_that_is_killed_and_restarted(self):
        process = self.start()
        for how in signal.SIGKILL, signal.SIGTERM:
            self.stop_bus(how)
            process.expect("lost: ")
            process.expect("lost: ")
            self.start_bus()
            process.expect("connected")
            self.assertEqual(self.echo("again"), "again")
            self.assertEqual(self.ask(process, "org.freedesktop.DBus"), "pong")
        self.finish(process)

    def test_addresses_of_which_the_first_refuses(self):
        with peers.refusing_port() as bound:
            refusing = f"tcp:host=127.0.0.1,port={bound.getsockname()[1]}"
            process = self.start(f"{refusing};{refusing};{self.address}")
        self.assertEqual(self.ask(process, "org.freedesktop.DBus"), "pong")
        self.finish(process)

    def test_a_bus_that_breaks_off(self):
        path = self.path + "2"
        fake = socket.socket(socket.AF_UNIX)
        fake.bind(path)
        fake.listen()
        fake.settimeout(peers.PATIENCE)
        process = self.start(f"unix:path={path}", connected=False)
        for answer in b"", b"OK 1234", b"REJECTED\r\n", b"\0\0\0":
            connection = fake.accept()[0]
            self.assertIn(b"AUTH", connection.recv(1000))
            connection.sendall(answer)
            connection.close()
            process.expect("lost: ")
        fake.close()
        process.expect("lost: ")

    def test_out_of_descriptors(self):
        process = self.start()
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (4, 100))
        self.stop_bus()
        process.expect("lost: ")
        self.assertEqual(process.expect("lost: "), "lost: Too many open files")
        self.start_bus()
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (100, 100))
        process.expect("connected")
        self.finish(process)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
