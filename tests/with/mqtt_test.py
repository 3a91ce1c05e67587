# SPDX-License-Identifier: BSL-1.0
"""with_mqtt against a broker of its own, which is killed and restarted: mqtt_test.py PROGRAM"""

import resource
import shutil
import signal
import socket
import sys
import time
import unittest

import peers

BROKER = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")


class Mqtt(unittest.TestCase):
    def setUp(self):
        self.port = peers.free_port()
        self.start_broker()
        self.addCleanup(self.stop_broker)

    def start_broker(self):
        self.broker = peers.server(self.port, BROKER, "-p", self.port)

    def stop_broker(self, how=signal.SIGTERM):
        self.broker.end(how)
        self.broker.close()

    def start(self, topic="news", port=None, connected=True):
        client = peers.program(port or self.port, topic)
        self.addCleanup(client.close)
        self.addCleanup(client.end, 9)
        if connected:
            client.expect("subscribed")
        return client

    def finish(self, client):
        client.process.stdin.close()
        client.rest()
        self.assertEqual((client.wait(), client.stderr()), (0, ""))

    def test_messages_of_several(self):
        clients = [self.start() for _ in range(5)]
        for n in range(100):
            clients[n % 5].say(f"message {n}\n")
            for client in clients:
                self.assertEqual(client.line(), f"message {n}")
        for client in clients:
            self.finish(client)

    def test_1000_messages_at_once(self):
        client, other = self.start(), self.start()
        client.say("".join(f"{n} {'x' * 1000}\n" for n in range(1000)))
        for n in range(1000):
            self.assertEqual(other.line(), f"{n} {'x' * 1000}")
        self.finish(client)
        self.finish(other)

    def test_pings_keep_a_silent_connection(self):
        client = self.start()
        before = client.cpu_so_far()
        time.sleep(9)  # the broker gives up after one and a half times 5 seconds
        self.assertLess(client.cpu_so_far() - before, 1)
        client.say("still here\n")
        self.assertEqual(client.line(), "still here")
        self.finish(client)

    def test_a_broker_that_is_killed_and_restarted(self):
        client = self.start()
        for how in signal.SIGKILL, signal.SIGTERM:
            self.stop_broker(how)
            client.expect("lost: ")
            client.say("while it is gone\n")
            client.expect("error: ")
            self.start_broker()
            client.expect("subscribed")
            client.expect("while it is gone")
            client.say("afterwards\n")
            client.expect("afterwards")
        self.finish(client)

    def test_brokers_that_break_off(self):
        with socket.create_server(("127.0.0.1", 0)) as fake:
            fake.settimeout(peers.PATIENCE)
            client = self.start(port=fake.getsockname()[1], connected=False)
            for answer in b"", b"\x20\x02\x00", b"\xf0\x00", None:
                connection = fake.accept()[0]
                self.assertIn(b"MQTT", connection.recv(1000))
                if answer is None:
                    peers.close_with_reset(connection)
                else:
                    connection.sendall(answer)
                    connection.close()
                client.expect("lost: ")
            fake.accept()[0].close()

    def test_out_of_descriptors(self):
        client = self.start()
        resource.prlimit(client.pid, resource.RLIMIT_NOFILE, (4, 100))
        self.stop_broker(signal.SIGKILL)
        client.expect("lost: ")
        self.assertIn("Too many open files", client.expect("error: "))
        self.start_broker()
        resource.prlimit(client.pid, resource.RLIMIT_NOFILE, (100, 100))
        client.expect("subscribed")
        self.finish(client)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
