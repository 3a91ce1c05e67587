# SPDX-License-Identifier: BSL-1.0
"""Python's tutorial in C++, driven by real clients: tcp_echo_test.py PROGRAM"""

import errno
import signal
import socket
import time
import unittest

import driver
from echo_behaviour import EchoBehaviour


class TcpEcho(EchoBehaviour, driver.ServerTest):
    END = -signal.SIGTERM  # it has no handler

    def server(self, **more):
        return super().server(str(driver.free_port()), vocabulary=False, **more)

    def test_out_of_descriptors_it_pauses_and_goes_on(self):
        server = self.server(limit=10)
        clients = [self.connect(server) for _ in range(20)]
        driver.until(lambda: server.descriptors() == 10)
        self.assert_idle(server)
        for client in clients[:16]:
            client.close()
        self.serves(clients[-1])

    def test_an_accept_error_that_stays_is_waited_out(self):
        if not driver.FAULTS:
            self.skipTest("there is no library of faults here")
        began = time.monotonic()
        server = self.server(faults={"ACCEPT_FAILS": f"{errno.EPERM},1"})
        self.serves(self.connect(server))
        self.assertGreater(time.monotonic() - began, 0.9)

    def test_a_port_in_use(self):
        taken = self.server()
        code, out, err = driver.run(str(taken.address[1]))
        self.assertEqual((code, out), (1, ""))
        self.assertIn("in use", err)

    def test_a_port_that_is_none(self):
        self.assertEqual(driver.run("nonsense")[0], 2)

    def test_started_again_at_once(self):
        port = str(driver.free_port())
        for _ in range(3):
            server = driver.Server(port, vocabulary=False)
            client = server.connect()
            self.serves(client)
            server.end()
            client.close()


if __name__ == "__main__":
    driver.main()
