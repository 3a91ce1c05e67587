# SPDX-License-Identifier: BSL-1.0
"""The chat server, driven by real clients: chat_server_test.py PROGRAM BACKEND"""

import os
import shutil
import socket
import subprocess
import threading
import unittest

import driver
from driver import PATIENCE


class Chat(driver.CommandLine):
    def serves(self, client):
        client.send(b"/who\n")
        while not (line := client.line() or "").startswith("* here: "):
            self.assertNotEqual(line, "")

    def join(self, server, name):
        """A client of this name who has read all that came so far."""
        client = self.connect(server)
        self.assertIn("* welcome, ", client.line())
        client.send(b"/nick %s\n" % name.encode())
        self.assertEqual(client.line(), f"* you are now {name}")
        return client

    def pair(self, server):
        """Ann and Bob, each of whom has seen the other join."""
        ann = self.join(server, "ann")
        bob = self.join(server, "bob")
        self.assertEqual(ann.line(), "* guest2 joined")
        self.assertEqual(ann.line(), "* guest2 is now bob")
        return ann, bob

    def test_a_line_reaches_every_other_client_once(self):
        server = self.server()
        ann, bob = self.pair(server)
        cid = self.join(server, "cid")
        for client in ann, bob:
            self.assertEqual(client.line(), "* guest3 joined")
            self.assertEqual(client.line(), "* guest3 is now cid")
        ann.send(b"hello\nworld\n")
        for client in (bob, cid):
            self.assertEqual(client.line(), "ann: hello")
            self.assertEqual(client.line(), "ann: world")
        bob.send(b"hi\n")  # only now: two lines sent at once may arrive in either order
        self.assertEqual(ann.line(), "bob: hi")
        self.assertEqual(cid.line(), "bob: hi")
        for client in ann, bob, cid:
            client.send(b"/who\n")
            self.assertEqual(client.line(), "* here: ann, bob, cid")

    def test_a_line_comes_never_in_halves(self):
        ann, bob = self.pair(self.server())
        for part in b"fir", b"st\nsec", b"ond\r\nth", b"ird\n\n\r\nlast\n":
            ann.send(part)
        for line in "first", "second", "third", "last":
            self.assertEqual(bob.line(), "ann: " + line)

    def test_an_unfinished_line_is_nobodys(self):
        ann, bob = self.pair(self.server())
        ann.send(b"never finished")
        ann.socket.shutdown(socket.SHUT_WR)
        self.assertEqual(bob.line(), "* ann left")
        self.assertEqual(ann.rest(), b"")

    def test_names(self):
        ann, bob = self.pair(self.server())
        for name in b"bob", b"ann":
            ann.send(b"/nick %s\n" % name)
            self.assertEqual(ann.line(), f"* {name.decode()} is in use")
        for name in b"", b"two words", b"x" * 25, b"\x1b[2J", b"a:", b"*", "é".encode():
            ann.send(b"/nick %s\n" % name)
            self.assertEqual(ann.line(), "* a name has 1 to 24 letters, digits, - and _")
        ann.send(b"/nick Ann-2_x\n")
        self.assertEqual(ann.line(), "* you are now Ann-2_x")
        self.assertEqual(bob.line(), "* ann is now Ann-2_x")
        bob.send(b"/nick ann\n")
        self.assertEqual(bob.line(), "* you are now ann")

    def test_commands_are_not_broadcast(self):
        ann, bob = self.pair(self.server())
        ann.send(b"/who\n/nonsense\n/\n")
        self.assertEqual(ann.line(), "* here: ann, bob")
        self.assertIn("* unknown command /nonsense", ann.line())
        self.assertIn("* unknown command /", ann.line())
        ann.send(b"said\n/quit\nunheard\n")
        self.assertEqual(bob.line(), "ann: said")
        self.assertEqual(bob.line(), "* ann left")
        self.assertEqual(ann.rest(), b"")
        bob.send(b"/who\n")
        self.assertEqual(bob.line(), "* here: bob")

    def test_control_characters_reach_nobodys_terminal(self):
        ann, bob = self.pair(self.server())
        ann.send(b"a\x1b[2Jb\x07\x00\x7fc\td\x9bx\xc2\x9by\xff\xfb\x01z\r\r\n")
        self.assertEqual(bob.line(), "ann: a?[2Jb???c d?x?y???z?")
        text = "grüße, 日本語, 🙂, \u00a0, \ufffd"
        ann.send(text.encode() + b"\n")
        self.assertEqual(bob.line(), "ann: " + text)
        ann.send(b"\xc0\xaf \xed\xa0\x80 \xf4\x90\x80\x80 \xe2\x82\n")
        self.assertEqual(bob.line(), "ann: ?? ??? ???? ??")
        ann.send(b"/\x1b[2J\n")
        self.assertNotIn("\x1b", ann.line())

    def test_nothing_invisible_and_no_change_of_direction_reaches_a_terminal(self):
        ann, bob = self.pair(self.server())
        refused = [
            *range(0x80, 0xA0),
            0xAD,
            0x61C,
            *range(0x200B, 0x2010),
            0x2028,
            *range(0x202A, 0x202F),
            *range(0x2060, 0x2070),
            0x3164,
            0xFE0F,
            0xFEFF,
            0xFFFA,
            0x1D173,
            0xE0041,
        ]
        for code in refused:
            ann.send(f"a{chr(code)}b\n".encode())
            self.assertEqual(bob.line(), "ann: a?b", hex(code))
        for code in (
            0xA0,
            0xA1,
            0xAC,
            0xAE,
            0x61B,
            0x200A,
            0x2010,
            0x2027,
            0x202F,
            0x205F,
            0x2070,
            0x5D0,
            0xFF00,
            0x1F642,
            0x10FFFD,
        ):
            ann.send(f"a{chr(code)}b\n".encode())
            self.assertEqual(bob.line(), f"ann: a{chr(code)}b", hex(code))
        ann.send(b"/\xe2\x80\xae\n")
        self.assertIn("* unknown command /?:", ann.line())

    def test_long_lines(self):
        ann, bob = self.pair(self.server())
        for end in b"\n", b"\r\n":
            ann.send(b"x" * 4096 + end)
            self.assertEqual(bob.line(), "ann: " + "x" * 4096)
        ann.send(b"y" * 4097)
        self.assertEqual(bob.line(), "* ann left: sent too long a line")
        self.assertEqual(ann.line(), "* you are out: sent too long a line")
        self.assertIsNone(ann.line())

    def test_long_lines_with_an_end(self):
        ann, bob = self.pair(self.server())
        ann.send(b"before\n" + b"y" * 4097 + b"\nafter\n")
        self.assertEqual(bob.line(), "ann: before")
        self.assertEqual(bob.line(), "* ann left: sent too long a line")

    def test_a_client_that_does_not_read_is_ended(self):
        server = self.server()
        ann, bob = self.pair(server)
        stalled = driver.Client.__new__(driver.Client)
        stalled.socket, stalled.buffer = socket.socket(), b""
        self.addCleanup(stalled.close)
        stalled.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stalled.socket.settimeout(PATIENCE)
        stalled.socket.connect(server.address)
        for client in ann, bob:
            self.assertEqual(client.line(), "* guest3 joined")
        before = server.memory()
        line = b"x" * 4000 + b"\n"
        lines = 0
        heard = None
        while heard != "* guest3 left: does not read":
            ann.send(line)
            lines += 1
            self.assertLess(lines, 10000)
            heard = bob.line()
            if heard.startswith("* "):
                break
            self.assertEqual(len(heard), 4005)
        self.assertEqual(heard, "* guest3 left: does not read")
        self.assertEqual(ann.line(), "* guest3 left: does not read")
        self.assertLess(server.memory() - before, 16 << 20)
        stalled.rest()
        ann.send(b"still here\n")
        while (heard := bob.line()) != "ann: still here":
            self.assertIsNotNone(heard)

    def test_a_vanished_client_is_told_once(self):
        server = self.server()
        ann, bob = self.pair(server)
        ann.reset()
        self.assertIn(bob.line(), ("* ann left", "* ann left: connection lost"))
        bob.send(b"/who\n")
        self.assertEqual(bob.line(), "* here: bob")
        self.assert_idle(server)

    def test_many_clients_leave_at_once(self):
        server = self.server()
        ann = self.join(server, "ann")
        others = [self.connect(server) for _ in range(50)]
        for other in others:
            self.serves(other)
        for other in others:
            other.reset()
        left = 0
        while left != 50:
            line = ann.line()
            left += " left" in line
        ann.send(b"/who\n")
        self.assertEqual(ann.line(), "* here: ann")

    def test_a_flood_ends_gracefully(self):
        server = self.server()
        ann, bob = self.pair(server)
        stop = threading.Event()

        def flood():
            try:
                while not stop.is_set():
                    ann.socket.send(b"flood\n" * 1000)
            except OSError:
                pass

        def drain():
            bob.rest()

        threads = [threading.Thread(target=flood), threading.Thread(target=drain)]
        for thread in threads:
            thread.start()
        for _ in range(50):
            other = server.connect()
            self.serves(other)
            other.close()
        self.assertEqual(server.end(), (0, ""))
        stop.set()
        for thread in threads:
            thread.join()

    def test_verbose_escapes_what_strangers_send(self):
        server = self.server("--verbose")
        ann = self.join(server, "ann")
        ann.send(b"\x1b[2J\n/quit\n")
        ann.rest()
        host, port = ann.socket.getsockname()
        code, err = server.end()
        self.assertEqual(code, 0)
        for line in "came", "sent /nick ann", "sent \\x1b[2J", "sent /quit", "left":
            self.assertIn(f"{host}:{port} {line}\n", err)

    def client_program(self, *command):
        if shutil.which(command[0]) is None:
            self.skipTest(f"{command[0]} is not installed")
        server = self.server()
        ann = self.join(server, "ann")
        host, port = server.address
        command = [part.format(host=host, port=port) for part in command]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as client:
            timer = threading.Timer(PATIENCE, client.kill)
            timer.start()
            self.assertEqual(ann.line(), "* guest2 joined")
            client.stdin.write(b"hello from outside\n")
            client.stdin.flush()
            self.assertEqual(ann.line(), "guest2: hello from outside")
            ann.send("hello back, ü\n".encode())
            found = b""
            while b"hello back" not in found and (data := os.read(client.stdout.fileno(), 4096)):
                found += data
            self.assertIn("ann: hello back, ü".encode(), found)
            client.stdin.write(b"/quit\n")
            client.stdin.flush()
            self.assertEqual(ann.line(), "* guest2 left")
            client.stdin.close()
            client.terminate()
            timer.cancel()

    def test_nc(self):
        self.client_program("nc", "{host}", "{port}")

    def test_socat(self):
        self.client_program("socat", "-", "TCP:{host}:{port}")

    def test_telnet(self):
        self.client_program("telnet", "{host}", "{port}")


if __name__ == "__main__":
    driver.main()
