# SPDX-License-Identifier: BSL-1.0
"""The echo server of several processes, driven by real clients: prefork_echo_test.py PROGRAM BACKEND"""

import os
import re
import signal
import subprocess
import unittest

import driver
from echo_behaviour import EchoBehaviour


class Prefork(driver.Server):
    def children(self):
        listed = subprocess.run(
            ["ps", "-A", "-o", "pid=,ppid=,stat="], check=True, capture_output=True, text=True
        ).stdout
        rows = [line.split() for line in listed.splitlines()]
        return [
            int(pid) for pid, parent, state in rows if int(parent) == self.process.pid and state[0] != "Z"
        ]

    def pids(self):
        return [self.process.pid, *self.children()]


class PreforkTest(EchoBehaviour, driver.CommandLine):
    SERVER = Prefork

    def server(self, *arguments, **more):
        if more.get("faults"):  # which each process has by itself
            arguments = "--children", "1", *arguments
        server = super().server(*arguments, **more)
        wanted = int(arguments[arguments.index("--children") + 1]) if "--children" in arguments else 2
        driver.until(lambda: len(server.children()) == wanted)
        return server

    def ended(self, pid):
        try:
            os.kill(pid, 0)
            return False
        except ProcessLookupError:
            return True

    def test_usage(self):
        for children in "0", "-1", "257", "x", "":
            self.assertEqual(driver.run("--port", "0", f"--children={children}")[0], 2, children)

    def test_all_children_end_with_the_parent(self):
        for how in signal.SIGTERM, signal.SIGINT, signal.SIGKILL:
            server = self.SERVER()
            driver.until(lambda: len(server.children()) == 2)
            children = server.children()
            client = self.connect(server)
            self.serves(client)
            self.assertEqual(server.end(how)[0], -how if how == signal.SIGKILL else 0)
            driver.until(lambda: all(map(self.ended, children)))
            client.rest()

    def test_a_signal_to_all_of_them_as_by_ctrl_c(self):
        server = self.server()
        for pid in [*server.children(), server.process.pid]:
            os.kill(pid, signal.SIGINT)
        self.assertEqual(server.process.wait(driver.PATIENCE), 0)

    def test_a_child_that_dies_is_replaced(self):
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # which a program inherits
        self.addCleanup(signal.signal, signal.SIGCHLD, signal.SIG_DFL)
        server = self.server("--verbose", "--children", "3")
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        before = set(server.children())
        clients = [self.connect(server) for _ in range(12)]
        for client in clients:
            self.serves(client)
        victim = min(before)
        os.kill(victim, signal.SIGKILL)
        driver.until(lambda: len(set(server.children()) - before) == 1)
        alive = 0
        for client in clients:
            try:
                self.serves(client)
                alive += 1
            except (AssertionError, ConnectionError):
                client.close()
        for _ in range(12):
            self.serves(self.connect(server))
        code, err = server.end()
        self.assertEqual(code, 0)
        came = re.findall(r"came to (\d+)\n", err)
        self.assertEqual(len(came), 24)
        self.assertEqual(alive, 12 - came[:12].count(str(victim)))

    def test_a_child_that_stands_still_is_killed_in_the_end(self):
        server = self.server()
        child = server.children()[0]
        os.kill(child, signal.SIGSTOP)
        self.assertEqual(server.end()[0], 0)
        self.assertTrue(self.ended(child))

    @unittest.skip("each child has a limit of its own")
    def test_out_of_descriptors_it_pauses_and_goes_on(self):
        pass

    def test_each_child_pauses_when_it_is_out_of_descriptors(self):
        server = self.server("--children", "1", limit=14)
        child = server.children()[0]
        clients = [self.connect(server) for _ in range(20)]
        driver.until(lambda: server.descriptors_of(child) == 14)
        self.assert_idle(server)
        for client in clients[:16]:
            client.close()
        self.serves(clients[-1])


if __name__ == "__main__":
    driver.main()
