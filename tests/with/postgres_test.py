# SPDX-License-Identifier: BSL-1.0
"""with_postgres against a PostgreSQL server of its own: postgres_test.py PROGRAM"""

import glob
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

import peers

BIN = sorted(glob.glob("/usr/lib/postgresql/*/bin"))[-1:] or [os.path.dirname(shutil.which("postgres") or "")]
AS_USER = ["setpriv", "--pdeathsig=KILL", "--reuid=postgres", "--regid=postgres",
        "--clear-groups"] if os.geteuid() == 0 else []


class Postgres(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp()  # PostgreSQL does not run as root
        if AS_USER:
            shutil.chown(cls.folder, "postgres", "postgres")
        subprocess.run([*AS_USER, f"{BIN[0]}/initdb", "-D", f"{cls.folder}/data", "-U", "postgres", "-A",
                "trust", "-N"],
                       check=True, capture_output=True, timeout=peers.PATIENCE, cwd=cls.folder)
        cls.port = peers.free_port()
        cls.start_server()

    @classmethod
    def start_server(cls, connections=20):
        cls.server = peers.server(cls.port, *AS_USER, f"{BIN[0]}/postgres", "-D", f"{cls.folder}/data",
                "-p", cls.port,
                                  "-c", "listen_addresses=127.0.0.1", "-c",
                                  f"unix_socket_directories={cls.folder}",
                                  "-c", "fsync=off", "-c", "shared_buffers=16MB", "-c",
                                  f"max_connections={connections}",
                                  cwd=cls.folder)

    @classmethod
    def stop_server(cls):
        cls.server.end(signal.SIGINT)  # fast: the processes of its connections too
        cls.server.close()

    @classmethod
    def tearDownClass(cls):
        cls.stop_server()
        shutil.rmtree(cls.folder)

    def where(self):
        return f"host=127.0.0.1 port={self.port} user=postgres dbname=postgres"

    def start(self, conninfo="", **more):
        self.client = peers.program(f"{self.where()} {conninfo}", **more)
        self.addCleanup(self.client.close)
        self.addCleanup(self.client.end, 9)
        return self.client

    def connect(self, conninfo=""):
        client = self.start(conninfo)
        client.expect(f"connected to port {self.port}")
        return client

    def finish(self):
        self.client.process.stdin.close()
        self.assertEqual(self.client.rest(), [])
        self.assertEqual(self.client.wait(), 0, self.client.stderr())

    def query(self, text):
        self.client.say(text + "\n")
        return self.client.line()

    def test_hosts_of_which_the_first_refuses(self):
        with peers.refusing_port() as first, peers.refusing_port() as second:
            ports = f"{first.getsockname()[1]},{second.getsockname()[1]},{self.port}"
            self.connect(f"host=127.0.0.1,127.0.0.1,127.0.0.1 port={ports}")
        self.assertEqual(self.query("select 6 * 7"), "42")
        self.finish()

    def test_1000_queries_in_one_pipeline(self):
        client = self.connect()
        client.say("".join("select 1 / 0\n" if n % 100 == 7 else f"select {n}\n" for n in range(1000)))
        for n in range(1000):
            self.assertEqual(client.line(), "ERROR:  division by zero" if n % 100 == 7 else str(n))
        client.say("create temporary table t (a int)\nselect a from t\n")
        self.assertEqual([client.line(), client.line()], ["CREATE TABLE", "no rows"])
        self.finish()

    def test_more_than_the_sockets_hold_in_both_directions(self):
        client = self.connect()
        for n in range(40):
            client.say(f"select '{n}' || repeat('x', 1000000) /* {'y' * 300000} */\n")
        for n in range(40):
            self.assertEqual(client.line(), f"{n}" + "x" * 1000000)
        self.finish()

    def test_notifications(self):
        client = self.connect()
        self.assertEqual(self.query("listen news"), "LISTEN")
        with peers.program(self.where()) as other:
            other.say("".join(f"notify news, '{n}'\n" for n in range(50)))
            for n in range(50):
                self.assertEqual(client.line(), f"notified: news {n}")
            before = client.cpu_so_far()
            time.sleep(0.5)  # idle
            self.assertLess(client.cpu_so_far() - before, 0.25)
        self.finish()

    def test_a_server_process_that_is_ended_and_one_that_is_killed(self):
        client = self.connect()
        pid = int(self.query("select pg_backend_pid()"))
        client.say("select pg_sleep(100)\n")
        with peers.program(self.where()) as other:
            sleeping = ("select count(*) from pg_stat_activity "
                        "where query = 'select pg_sleep(100)' and state = 'active'\n")
            peers.eventually(lambda: other.say(sleeping) or other.line() == "1", "it sleeps")
        os.kill(pid, signal.SIGTERM)
        client.expect("lost: ")
        client.expect("no result: select pg_sleep(100)")
        client.expect(f"connected to port {self.port}")
        pid = int(self.query("select pg_backend_pid()"))
        os.kill(pid, signal.SIGKILL)  # the server ends all connections and recovers
        client.expect("lost: ")
        client.expect(f"connected to port {self.port}")
        self.assertEqual(self.query("select 1"), "1")
        self.finish()

    def test_a_restarted_server(self):
        client = self.connect()
        self.stop_server()
        client.expect("lost: ")
        client.expect("lost: ")  # refused
        self.start_server()
        client.expect(f"connected to port {self.port}")
        self.assertEqual(self.query("select 2"), "2")
        self.finish()

    def test_too_many_connections(self):
        self.stop_server()
        self.start_server(connections=4)  # three of them for superusers
        others = [peers.program(self.where()) for _ in range(4)]
        for other in others:
            other.expect("connected")
        client = self.start()
        self.assertIn("too many clients", client.expect("lost: "))
        for other in others:
            other.end()
            other.close()
        client.expect("connected")
        self.finish()
        self.stop_server()
        self.start_server()

    def test_out_of_descriptors(self):
        client = self.connect()
        pid = int(self.query("select pg_backend_pid()"))
        resource.prlimit(client.pid, resource.RLIMIT_NOFILE, (4, 100))  # three and the selector's own
        os.kill(pid, signal.SIGTERM)
        client.expect("lost: ")
        self.assertIn("Too many open files", client.expect("lost: "))
        resource.prlimit(client.pid, resource.RLIMIT_NOFILE, (100, 100))
        client.expect("connected")
        self.finish()


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
