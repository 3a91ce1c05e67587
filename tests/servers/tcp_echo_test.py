# SPDX-License-Identifier: BSL-1.0
"""Python's tutorial in C++, driven by real clients: tcp_echo_test.py PROGRAM"""

import errno
import socket
import time
import unittest

import driver
from echo_behaviour import EchoOnPort


class TcpEcho(EchoOnPort, driver.ServerTest):
    def test_an_accept_error_that_stays_is_waited_out(self):
        if not driver.FAULTS:
            self.skipTest("there is no library of faults here")
        began = time.monotonic()
        server = self.server(faults={"ACCEPT_FAILS": f"{errno.EPERM},1"})
        self.serves(self.connect(server))
        self.assertGreater(time.monotonic() - began, 0.9)

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
