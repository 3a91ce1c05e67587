# SPDX-License-Identifier: BSL-1.0
"""with_glib, with peers that send, say nothing, refuse, reset and end: glib_test.py PROGRAM"""

import socket
import sys
import threading
import time
import unittest

import peers


class Glib(unittest.TestCase):
    def peer(self):
        """A peer that listens on a port: (its socket, the port)."""
        listener = socket.create_server(("127.0.0.1", 0))
        listener.settimeout(peers.PATIENCE)
        self.addCleanup(listener.close)
        return listener, listener.getsockname()[1]

    def start(self, ports, **more):
        process = peers.program(*ports, **more)
        self.addCleanup(process.close)
        self.addCleanup(process.end, 9)
        return process

    def rest(self, process):
        """What it says until it ends well, without the reports of each second."""
        lines = [line for line in process.rest() if "so far" not in line]
        self.assertEqual((process.wait(), process.stderr()), (0, ""))
        return lines

    def test_peers_that_send_reset_refuse_and_end(self):
        (sends, a), (resets, b), (ends, c) = self.peer(), self.peer(), self.peer()
        with peers.refusing_port() as refusing:
            refused = refusing.getsockname()[1]
            process = self.start([a, b, c, refused])
            connection = sends.accept()[0]
            peers.close_with_reset(resets.accept()[0])
            ends.accept()[0].close()
            sender = threading.Thread(target=connection.sendall, args=(b"x" * 5_000_000,))
            sender.start()
            sender.join(peers.PATIENCE)
            connection.close()
            lines = self.rest(process)
        self.assertEqual(sorted(lines[:-2]), sorted([f"{b}: Connection reset by peer", f"{c}: end",
                                                     f"{refused}: Connection refused"]))
        self.assertEqual(lines[-2:], [f"{a}: end", "5000000 bytes"])

    def test_timeouts_go_on_while_the_selector_is_silent_and_while_it_is_busy(self):
        listener, port = self.peer()
        process = self.start([port])
        connection = listener.accept()[0]
        before = process.cpu_so_far()
        self.assertEqual(process.line(), "0 bytes so far")
        self.assertEqual(process.line(), "0 bytes so far")
        self.assertLess(process.cpu_so_far() - before, 0.5)
        stop = threading.Event()

        def flood():
            while not stop.is_set():
                connection.sendall(b"x" * 10000)

        sender = threading.Thread(target=flood)
        sender.start()
        reports = [int(process.line().removesuffix(" bytes so far")) for _ in range(3)]
        stop.set()
        sender.join()
        connection.close()
        self.assertLess(0, reports[0])
        self.assertLess(reports[0], reports[1])
        self.assertLess(reports[1], reports[2])
        self.assertEqual(self.rest(process)[0], f"{port}: end")

    def test_100_peers(self):
        listener, port = self.peer()
        process = self.start([port] * 100)
        connections = [listener.accept()[0] for _ in range(100)]
        for connection in connections:
            connection.sendall(b"hello")
        for connection in connections:
            connection.close()
        self.assertEqual(self.rest(process), [f"{port}: end"] * 100 + ["500 bytes"])

    def test_out_of_descriptors(self):
        listener, port = self.peer()
        process = self.start([port] * 30, limit=20)
        self.assertEqual([process.line() for _ in range(10)], [f"{port}: Too many open files"] * 10)
        listener.settimeout(2)
        accepted = 0
        try:
            while True:
                listener.accept()[0].close()
                accepted += 1
        except TimeoutError:
            self.assertGreater(accepted, 10)
        lines = self.rest(process)
        self.assertEqual(lines.count(f"{port}: end"), accepted)
        self.assertEqual(10 + lines.count(f"{port}: Too many open files") + accepted, 30)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
