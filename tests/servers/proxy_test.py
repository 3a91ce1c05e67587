# SPDX-License-Identifier: BSL-1.0
"""The proxy, between real clients and targets: proxy_test.py PROGRAM BACKEND"""

import socket
import threading
import unittest

import driver
from driver import PATIENCE
from echo_behaviour import EchoBehaviour


class Target:
    """Listens, and serves each connection in a thread of its own."""

    def __init__(self, serve):
        self.serve = serve
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.address = "%s:%d" % self.socket.getsockname()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                peer, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self.run, args=(peer,), daemon=True).start()

    def run(self, peer):
        with peer:
            try:
                self.serve(peer)
            except OSError:
                pass

    def close(self):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


def echo(peer):
    while data := peer.recv(1 << 16):
        peer.sendall(data)


ECHO = Target(echo)


def command_to(address):
    driver.COMMAND[1:] = ["--to", address]


class ThroughTheProxy(EchoBehaviour, driver.CommandLine):
    """An echo server behind the proxy behaves like one without it."""

    DESCRIPTORS = 2

    def setUp(self):
        command_to(ECHO.address)

    def connect(self, server):
        """Tries again: who cannot be served is reset, perhaps before connect(2) returns."""
        for _ in range(10):
            try:
                return super().connect(server)
            except ConnectionResetError:
                pass
        return super().connect(server)

    def test_out_of_descriptors_it_pauses_and_goes_on(self):
        server = self.server(limit=14)
        clients = [self.connect(server) for _ in range(20)]
        driver.until(lambda: server.descriptors() >= 13)
        self.assert_idle(server)
        for client in clients[:17]:
            client.close()
        self.serves(clients[-1])


class Proxy(driver.ServerTest):
    def between(self, serve):
        """A client of a proxy in front of such a target."""
        target = Target(serve)
        self.addCleanup(target.close)
        command_to(target.address)
        self.running = self.server()
        return self.connect(self.running)

    def test_usage(self):
        for target in "", "nonsense", "127.0.0.1":
            command_to(target)
            self.assertEqual(driver.run("--port", "0")[0], 2, target)
        driver.COMMAND[1:] = []
        code, out, err = driver.run("--port", "0")
        self.assertEqual((code, out), (2, ""))
        self.assertIn("--to", err)
        command_to("no.such.host.invalid:1")
        self.assertEqual(driver.run("--port", "0")[0], 1)

    def test_nobody_listens_on_the_target(self):
        command_to(f"127.0.0.1:{driver.free_port()}")
        server = self.server("--verbose")
        open_before = server.descriptors()
        for _ in range(3):
            with self.assertRaises(ConnectionResetError):  # no end that one could take for an answer's
                client = self.connect(server)
                while client.more():
                    pass
        driver.until(lambda: server.descriptors() == open_before)
        self.assert_idle(server)
        code, err = server.end()
        self.assertEqual(code, 0)
        self.assertGreaterEqual(err.count("refused"), 3, err)

    def test_the_next_address_is_tried(self):
        with socket.create_server(("127.0.0.1", 0)) as listening:
            addresses = {
                address[4][0] for address in socket.getaddrinfo("localhost", 1, type=socket.SOCK_STREAM)
            }
            if len(addresses) < 2:
                self.skipTest("localhost has one address here")
            command_to("localhost:%d" % listening.getsockname()[1])
            client = self.connect(self.server())
            listening.settimeout(PATIENCE)
            peer, _ = listening.accept()
            with peer:
                client.send(b"found")
                self.assertEqual(peer.recv(5), b"found")

    def test_each_direction_ends_by_itself(self):
        heard = []

        def answer_after_the_end(peer):
            while data := peer.recv(1 << 16):
                heard.append(data)
            peer.sendall(b"answer" * 100_000)

        client = self.between(answer_after_the_end)
        client.send(b"question" * 100_000)
        client.socket.shutdown(socket.SHUT_WR)
        self.assertEqual(client.rest(), b"answer" * 100_000)
        self.assertEqual(b"".join(heard), b"question" * 100_000)

    def test_the_target_ends_first(self):
        heard, over = [], threading.Event()

        def speak_first(peer):
            peer.sendall(b"greeting")
            peer.shutdown(socket.SHUT_WR)
            while data := peer.recv(1 << 16):
                heard.append(data)
            over.set()

        client = self.between(speak_first)
        self.assertEqual(client.rest(), b"greeting")
        client.send(b"late" * 100_000)
        client.socket.shutdown(socket.SHUT_WR)
        self.assertTrue(over.wait(PATIENCE))
        self.assertEqual(b"".join(heard), b"late" * 100_000)

    def test_back_pressure_both_ways(self):
        go_on = threading.Event()
        received = []

        def do_not_read(peer):
            go_on.wait(PATIENCE)
            while data := peer.recv(1 << 16):
                received.append(len(data))

        client = self.between(do_not_read)
        before = self.running.memory()
        sent = client.fill()
        self.assert_idle(self.running)
        self.assertLess(self.running.memory() - before, 4 << 20)
        go_on.set()
        client.socket.shutdown(socket.SHUT_WR)
        self.assertEqual(client.rest(), b"")
        self.assertEqual(sum(received), sent)

    def test_a_reset_is_noticed_while_the_other_side_does_not_read(self):
        if driver.BACKEND not in ("epoll", "kqueue"):
            self.skipTest("this backend does not report a hang-up by itself")
        go_on = threading.Event()
        self.addCleanup(go_on.set)
        client = self.between(lambda peer: go_on.wait(3 * PATIENCE))
        client.fill()
        open_before = self.running.descriptors()
        self.assert_idle(self.running)
        client.reset()
        driver.until(lambda: self.running.descriptors() == open_before - 2)

    def test_half_closed_while_the_other_side_does_not_read(self):
        go_on = threading.Event()
        received = []

        def read_later(peer):
            go_on.wait(PATIENCE)
            while data := peer.recv(1 << 16):
                received.append(len(data))
            peer.sendall(b"all of it")

        client = self.between(read_later)
        sent = client.fill()
        client.socket.shutdown(socket.SHUT_WR)
        self.assert_idle(self.running)
        go_on.set()
        self.assertEqual(client.rest(), b"all of it")
        self.assertEqual(sum(received), sent)

    def test_a_client_that_does_not_read_stops_the_target(self):
        sent = []

        def flood(peer):
            peer.settimeout(0.5)
            try:
                while True:
                    sent.append(peer.send(b"x" * 65536))
            except TimeoutError:
                pass
            peer.settimeout(None)

        client = self.between(flood)
        before = self.running.memory()
        driver.until(lambda: sent)
        count = -1
        while count != len(sent):
            count = len(sent)
            threading.Event().wait(0.6)
        self.assert_idle(self.running)
        self.assertLess(self.running.memory() - before, 4 << 20)
        self.assertEqual(len(client.rest()), sum(sent))

    def test_a_reset_is_passed_on(self):
        ends = []
        seen = threading.Event()

        def listen(peer):
            try:
                while peer.recv(1 << 16):
                    seen.set()
                ends.append("end")
            except ConnectionResetError:
                ends.append("reset")

        client = self.between(listen)
        client.send(b"part of")
        self.assertTrue(seen.wait(PATIENCE))
        client.reset()
        driver.until(lambda: ends)
        self.assertEqual(ends, ["reset"])

    def test_a_reset_of_the_target_is_passed_on(self):
        def reset(peer):
            peer.recv(1)
            peer.sendall(b"part of")
            peer.recv(1)
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

        client = self.between(reset)
        client.send(b"1")
        self.assertEqual(client.read(7), b"part of")
        client.send(b"2")
        with self.assertRaises(ConnectionResetError):
            client.more()

    def test_both_gone_leaves_nothing(self):
        client = self.between(echo)
        client.send(b"first")
        self.assertEqual(client.read(5), b"first")
        open_before = self.running.descriptors()
        others = [self.connect(self.running) for _ in range(50)]
        for other in others:
            other.send(b"x" * 1000)
            self.assertEqual(other.read(1000), b"x" * 1000)
        for number, other in enumerate(others):
            other.reset() if number % 2 else other.close()
        driver.until(lambda: self.running.descriptors() <= open_before)
        client.send(b"still")
        self.assertEqual(client.read(5), b"still")


if __name__ == "__main__":
    driver.main()
