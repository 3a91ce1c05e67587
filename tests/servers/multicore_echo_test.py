# SPDX-License-Identifier: BSL-1.0
"""The echo server with a thread for each core, and real clients: multicore_echo_test.py PROGRAM BACKEND"""

import collections
import re
import threading
import unittest

import driver
from echo_behaviour import EchoBehaviour


class Multicore(EchoBehaviour, driver.CommandLine):
    def test_usage(self):
        for threads in "0", "-1", "257", "x", "":
            self.assertEqual(driver.run("--port", "0", f"--threads={threads}")[0], 2, threads)

    def test_clients_are_dealt_out_evenly(self):
        server = self.server("--verbose", "--threads", "4")
        clients = [self.connect(server) for _ in range(40)]
        for client in clients:
            self.serves(client)
        code, err = server.end()
        self.assertEqual(code, 0)
        load = collections.Counter(re.findall(r"came to (\d+)", err))
        self.assertEqual((len(load), sum(load.values())), (4, 40))
        self.assertLessEqual(
            max(load.values()) - min(load.values()), 4
        )  # they may come to two threads at a time

    def test_many_clients_at_once_and_the_end_in_the_middle_of_it(self):
        server = self.server("--threads", "4")
        stop = threading.Event()
        served = collections.Counter()

        def come_and_go(number):
            try:
                while not stop.is_set():
                    client = server.connect()
                    self.serves(client)
                    client.close()
                    served[number] += 1
            except (OSError, AssertionError):
                served["failed"] += not stop.is_set()

        threads = [threading.Thread(target=come_and_go, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        driver.until(lambda: sum(served.values()) > 1000)
        self.assertEqual(served["failed"], 0)
        stop.set()
        self.assertEqual(server.end(), (0, ""))
        for thread in threads:
            thread.join()

    @unittest.skip("each thread has descriptors of its own")
    def test_out_of_descriptors_it_pauses_and_goes_on(self):
        pass


class FewDescriptors(driver.ServerTest):
    serves = EchoBehaviour.serves

    def test_out_of_descriptors_it_pauses_and_goes_on(self):
        server = self.server("--threads", "2", limit=24)
        clients = [self.connect(server) for _ in range(40)]
        driver.until(lambda: server.descriptors() == 24)
        self.assert_idle(server)
        for client in clients[:36]:
            client.close()
        self.serves(clients[-1])


if __name__ == "__main__":
    driver.main()
