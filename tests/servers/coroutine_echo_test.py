# SPDX-License-Identifier: BSL-1.0
"""The echo server of coroutines, driven by real clients: coroutine_echo_test.py PROGRAM"""

import errno
import signal
import time
import unittest

import driver
from echo_behaviour import EchoBehaviour


class CoroutineEcho(EchoBehaviour, driver.ServerTest):
    END = -signal.SIGTERM  # it has no handler

    def server(self, *arguments, **more):
        return super().server(str(driver.free_port()), *arguments, vocabulary=False, **more)

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
        server = self.server(faults={"ACCEPT_FAILS": f"{errno.EPERM},3"})
        self.serves(self.connect(server))
        self.assertGreater(time.monotonic() - began, 0.25)

    def test_a_port_in_use(self):
        taken = self.server()
        code, out, err = driver.run(str(taken.address[1]))
        self.assertEqual((code, out), (1, ""))
        self.assertIn("in use", err)

    def test_a_port_that_is_none(self):
        self.assertEqual(driver.run("nonsense")[0], 2)


if __name__ == "__main__":
    driver.main()
