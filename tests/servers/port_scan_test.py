# SPDX-License-Identifier: BSL-1.0
"""The port scanner, beside ports that are known to be open: port_scan_test.py PROGRAM"""

import os
import resource
import socket
import subprocess
import unittest

import driver


class PortScan(unittest.TestCase):
    def listen(self, port=0):
        listening = socket.create_server(("127.0.0.1", port))
        self.addCleanup(listening.close)
        return listening

    def scan(self, first, last, before=None, stdout=subprocess.PIPE):
        done = subprocess.run(
            [*driver.COMMAND, str(first), str(last)],
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
            timeout=6 * driver.PATIENCE,
            preexec_fn=before,
        )
        return done.returncode, sorted(int(line) for line in (done.stdout or "").split()), done.stderr

    def test_the_open_ones_are_printed(self):
        ports = [self.listen().getsockname()[1] for _ in range(5)]
        for port in ports:
            self.assertEqual(self.scan(port, port), (0, [port], ""))
        code, found, err = self.scan(max(1, min(ports) - 500), min(65535, max(ports) + 500))
        self.assertEqual((code, err), (0, ""))
        self.assertLessEqual(set(ports), set(found))

    def test_a_closed_one_is_not(self):
        port = driver.free_port()
        self.assertEqual(self.scan(port, port), (0, [], ""))

    def test_none_in_an_empty_range(self):
        self.assertEqual(self.scan(2, 1), (0, [], ""))

    def test_a_socket_that_is_connected_to_itself_is_no_open_port(self):
        """Scans ephemeral ports, where self-connections are to be expected."""
        if not driver.ON_LINUX:
            self.skipTest("what is open is read from Linux's /proc")

        def open_ports():
            with open("/proc/net/tcp") as rows:
                fields = [row.split() for row in list(rows)[1:]]
            return {int(row[1].rpartition(":")[2], 16) for row in fields if row[3] == "0A"}

        with open("/proc/sys/net/ipv4/ip_local_port_range") as limits:
            first, last = map(int, limits.read().split())
        may_be = open_ports()
        code, found, err = self.scan(first, min(last, first + 30000))
        may_be |= open_ports()
        self.assertEqual((code, err), (0, ""))
        self.assertLessEqual(set(found), may_be)

    def test_a_full_queue_of_connections_is_given_a_second(self):
        listening = socket.socket()
        self.addCleanup(listening.close)
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        port = listening.getsockname()[1]
        for _ in range(4):  # the queue is full: further attempts are not answered
            waiting = socket.socket()
            self.addCleanup(waiting.close)
            waiting.setblocking(False)
            waiting.connect_ex(("127.0.0.1", port))
        if driver.ON_LINUX:
            self.assertEqual(self.scan(port, port), (0, [], ""))
        else:
            self.assertEqual(self.scan(port, port)[0], 0)

    def test_few_descriptors_are_enough(self):
        port = self.listen().getsockname()[1]
        few = lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (8, 8))
        code, found, err = self.scan(port - 200, port, before=few)
        self.assertEqual((code, err), (0, ""))
        self.assertIn(port, found)

    def test_no_descriptors_are_an_error(self):
        none = lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (4, 4))
        code, found, err = self.scan(1, 100, before=none)
        self.assertEqual((code, found), (1, []))
        self.assertIn("Too many open files", err)

    def test_wrong_usage(self):
        for first, last in ("0", "1"), ("1", "65536"), ("a", "b"), ("1x", "2"), ("-1", "2"), ("", ""):
            code, found, err = self.scan(first, last)
            self.assertEqual((code, found), (2, []))
            self.assertIn("usage", err)
        self.assertEqual(driver.run("--help")[0], 0)

    def test_a_result_that_cannot_be_written_is_an_error(self):
        if not os.path.exists("/dev/full"):
            self.skipTest("there is no /dev/full")
        port = self.listen().getsockname()[1]
        with open("/dev/full", "w") as full:
            self.assertEqual(self.scan(port, port, stdout=full)[0], 1)


if __name__ == "__main__":
    driver.main()
