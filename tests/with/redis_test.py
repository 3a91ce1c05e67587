# SPDX-License-Identifier: BSL-1.0
"""with_redis against a Redis server of its own, and against some that break off: redis_test.py PROGRAM"""

import resource
import signal
import socket
import sys
import tempfile
import time
import unittest

import peers


class Redis(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.port = peers.free_port()
        self.start_server()
        self.addCleanup(self.stop_server)

    def start_server(self):
        self.server = peers.server(self.port, "redis-server", "--port", self.port, "--bind", "127.0.0.1",
                "--dir", self.folder,
                                   "--save", "", "--appendonly", "no")

    def stop_server(self, how=signal.SIGTERM):
        self.server.end(how)
        self.server.close()

    def start(self, port=None, connected=True):
        client = peers.program(port or self.port)
        self.addCleanup(client.close)
        self.addCleanup(client.end, 9)
        if connected:
            client.expect("connected")
        return client

    def finish(self, client):
        client.process.stdin.close()
        self.assertEqual(client.rest(), [])
        self.assertEqual((client.wait(), client.stderr()), (0, ""))

    def ask(self, client, command):
        client.say(command + "\n")
        return client.line()

    def test_commands_and_their_replies(self):
        client = self.start()
        self.assertEqual(self.ask(client, "set a 100%s"), "OK")
        self.assertEqual(self.ask(client, "get a"), "100%s")
        self.assertEqual(self.ask(client, "get b"), "nothing")
        self.assertEqual(self.ask(client, "rpush l 1 2 3"), "3")
        self.assertEqual(self.ask(client, "lrange l 0 -1"), "1 2 3")
        self.assertIn("unknown command", self.ask(client, "nonsense"))
        self.finish(client)

    def test_10000_commands_in_one_pipeline(self):
        client = self.start()
        client.say("incr n\n" * 10000)
        client.process.stdin.close()  # all are answered before it ends
        self.assertEqual(client.rest(), [str(n + 1) for n in range(10000)])
        self.assertEqual(client.wait(), 0)

    def test_messages_while_it_is_idle(self):
        client, other = self.start(), self.start()
        self.assertEqual(self.ask(client, "subscribe news"), "subscribe news 1")
        for n in range(50):
            self.assertEqual(self.ask(other, f"publish news {n}"), "1")
            self.assertEqual(client.line(), f"message news {n}")
        before = client.cpu_so_far()
        time.sleep(0.5)
        self.assertLess(client.cpu_so_far() - before, 0.25)
        client.end()
        self.finish(other)

    def test_a_server_that_is_killed_and_restarted(self):
        client = self.start()
        self.assertEqual(self.ask(client, "ping"), "PONG")
        client.say("blpop nothing 100\n")
        time.sleep(0.2)
        self.stop_server(signal.SIGKILL)
        self.assertEqual(client.line(), "no reply")
        client.expect("lost: Server closed the connection")
        client.expect("lost: Connection refused")
        self.start_server()
        client.expect("connected")
        self.assertEqual(self.ask(client, "ping"), "PONG")
        self.finish(client)

    def test_a_connection_that_the_server_ends(self):
        client, other = self.start(), self.start()
        number = self.ask(client, "client id")
        self.assertEqual(self.ask(other, f"client kill id {number}"), "1")
        client.expect("lost: ")
        client.expect("connected")
        self.assertEqual(self.ask(client, "ping"), "PONG")
        self.finish(client)
        self.finish(other)

    def test_servers_that_break_off(self):
        with socket.create_server(("127.0.0.1", 0)) as fake:
            fake.settimeout(peers.PATIENCE)
            client = self.start(fake.getsockname()[1], connected=False)
            for answer, what in ((b"$100\r\nabc", "Server closed"), (b"no protocol\r\n", "Protocol error"),
                    (None, "reset by peer")):
                connection = fake.accept()[0]
                client.expect("connected")
                client.say("get a\n")
                self.assertIn(b"get", connection.recv(1000))
                if answer is None:
                    peers.close_with_reset(connection)
                else:
                    connection.sendall(answer)
                    connection.close()
                self.assertEqual(client.line(), "no reply")
                self.assertIn(what, client.expect("lost: "))

    def test_out_of_descriptors(self):
        client, other = self.start(), self.start()
        number = self.ask(client, "client id")
        resource.prlimit(client.pid, resource.RLIMIT_NOFILE, (4, 100))  # three and the selector's own
        self.assertEqual(self.ask(other, f"client kill id {number}"), "1")
        client.expect("lost: ")
        self.assertIn("Too many open files", client.expect("lost: "))
        resource.prlimit(client.pid, resource.RLIMIT_NOFILE, (100, 100))
        client.expect("connected")
        self.finish(client)
        self.finish(other)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
