# SPDX-License-Identifier: BSL-1.0
"""What every echo server does, however it is built: a mixin for the tests of each."""

import random
import signal
import socket
import threading

import driver


class EchoBehaviour:
    DESCRIPTORS = 1  # open descriptors for each client

    def serves(self, client):
        client.send(b"ping" * 100)
        self.assertEqual(client.read(400), b"ping" * 100)

    def test_every_byte_comes_back(self):
        server = self.server()
        data = random.Random(1).randbytes(8 << 20)
        client = self.connect(server)

        def send():
            client.send(data)
            client.socket.shutdown(socket.SHUT_WR)

        sender = threading.Thread(target=send)
        sender.start()
        self.assertEqual(client.rest(), data)
        sender.join()

    def test_a_half_closed_client_gets_what_is_owed(self):
        server = self.server()
        client = self.connect(server)
        self.serves(client)
        open_now = server.descriptors()
        client.send(b"owed" * 5000)
        client.socket.shutdown(socket.SHUT_WR)
        self.assertEqual(client.rest(), b"owed" * 5000)
        driver.until(lambda: server.descriptors() == open_now - self.DESCRIPTORS)

    def test_a_client_that_does_not_read_is_not_read_from(self):
        server = self.server()
        other = self.connect(server)
        self.serves(other)
        before = server.memory()
        stalled = [self.connect(server) for _ in range(4)]
        sent = [client.fill() for client in stalled]
        self.assert_idle(server)
        self.assertLess(server.memory() - before, 4 * (2 << 20) + (8 << 20))
        self.serves(other)
        for client, count in zip(stalled, sent):
            client.socket.shutdown(socket.SHUT_WR)
            self.assert_idle(server, 0.1)
            self.assertEqual(client.rest(), b"x" * count)
        self.serves(other)

    def test_a_flood_disturbs_nobody(self):
        server = self.server()
        flood = self.connect(server)
        stop = threading.Event()

        def drain():
            try:
                while not stop.is_set() and flood.socket.recv(1 << 20):
                    pass
            except OSError:
                pass

        def send():
            try:
                while not stop.is_set():
                    flood.socket.send(b"x" * 65536)
            except OSError:
                pass

        threads = [threading.Thread(target=drain), threading.Thread(target=send)]
        for thread in threads:
            thread.start()
        for _ in range(200):
            other = server.connect()
            self.serves(other)
            other.close()
        stop.set()
        self.assertEqual(server.end(), (self.END, ""))  # while it is echoing
        flood.close()
        for thread in threads:
            thread.join()

    def test_many_clients(self):
        server = self.server()
        clients = [self.connect(server) for _ in range(200)]
        for number, client in enumerate(clients):
            client.send(b"%06d" % number)
        for number, client in enumerate(clients):
            self.assertEqual(client.read(6), b"%06d" % number)
        open_now = server.descriptors()
        for client in clients:
            client.close()
        driver.until(lambda: server.descriptors() == open_now - 200 * self.DESCRIPTORS)


class EchoOnPort(EchoBehaviour):
    """And one whose first argument is its port, and that leaves SIGTERM alone."""

    END = -signal.SIGTERM  # it has no handler

    def server(self, *arguments, **more):
        return super().server(str(driver.free_port()), *arguments, vocabulary=False, **more)

    def test_out_of_descriptors_it_pauses_and_goes_on(self):
        server = self.server(limit=10)
        clients = [self.connect(server) for _ in range(20)]
        driver.until(lambda: server.descriptors() == 10)
        self.assert_idle(server)
        for client in clients[:16]:
            client.close()
        self.serves(clients[-1])

    def test_a_port_in_use(self):
        taken = self.server()
        code, out, err = driver.run(str(taken.address[1]))
        self.assertEqual((code, out), (1, ""))
        self.assertIn("in use", err)

    def test_a_port_that_is_none(self):
        self.assertEqual(driver.run("nonsense")[0], 2)
