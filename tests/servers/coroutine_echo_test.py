# SPDX-License-Identifier: BSL-1.0
"""The echo server of coroutines, driven by real clients: coroutine_echo_test.py PROGRAM"""

import errno
import time
import unittest

import driver
from echo_behaviour import EchoOnPort


class CoroutineEcho(EchoOnPort, driver.ServerTest):
    def test_a_silent_client_is_disconnected(self):
        server = self.server("1")
        silent, reads_nothing, lively = (self.connect(server) for _ in range(3))
        began = time.monotonic()
        reads_nothing.fill()
        while silent.socket not in driver.select.select([silent.socket], [], [], 0.2)[0]:
            self.serves(lively)
            self.assertLess(time.monotonic() - began, driver.PATIENCE)
        self.assertGreater(time.monotonic() - began, 0.9)
        self.assertEqual(silent.rest(), b"")
        driver.until(lambda: server.descriptors() <= 7)  # reads_nothing is gone, too
        self.serves(lively)

    def test_an_accept_error_that_stays_is_waited_out(self):
        if not driver.FAULTS:
            self.skipTest("there is no library of faults here")
        began = time.monotonic()
        server = self.server(faults={"ACCEPT_FAILS": f"{errno.EPERM},3"})
        self.serves(self.connect(server))
        self.assertGreater(time.monotonic() - began, 0.25)


if __name__ == "__main__":
    driver.main()
