# SPDX-License-Identifier: BSL-1.0
"""with_cares, with a name server that answers, refuses, is silent or breaks off: cares_test.py PROGRAM"""

import collections
import socket
import struct
import sys
import threading
import unittest

import peers


class NameServer:
    """Answers over UDP and TCP on one port, by the first part of a name."""

    def __init__(self):
        while True:
            self.tcp = socket.create_server(("127.0.0.1", 0))
            self.udp = socket.socket(type=socket.SOCK_DGRAM)
            self.port = self.tcp.getsockname()[1]
            try:
                self.udp.bind(("127.0.0.1", self.port))
                break
            except OSError:  # taken by somebody else
                self.tcp.close()
                self.udp.close()
        self.asked = collections.Counter()
        self.threads = [threading.Thread(target=call, daemon=True) for call in (self.serve_udp,
                self.serve_tcp)]
        for thread in self.threads:
            thread.start()

    def close(self):
        for one in self.udp, self.tcp:
            one.shutdown(socket.SHUT_RDWR) if one is self.tcp else self.udp.sendto(b"", ("127.0.0.1",
                    self.port))
        for thread in self.threads:
            thread.join()
        self.udp.close()
        self.tcp.close()

    @staticmethod
    def question(data):
        parts, at = [], 12
        while data[at]:
            parts.append(data[at + 1:at + 1 + data[at]].decode())
            at += 1 + data[at]
        return parts[0], data[12:at + 5]

    def answer(self, data, is_udp):
        """The answer to a question, or None for silence."""
        name, question = self.question(data)
        self.asked[name, is_udp] += 1
        kind, _, number = name.partition("-")
        if kind == "silent" or (kind == "second" and self.asked[name, is_udp] < 2):
            return None
        is_cut = is_udp and kind in ("long", "reset", "broken")
        flags = 0x8180 | (0x0200 if is_cut else 0) | {"nobody": 3, "failing": 2}.get(kind, 0)
        count = 0 if is_cut or flags & 15 else 40 if kind == "long" else 1
        records = b"".join(b"\xc0\x0c" + struct.pack(">HHIH4B", 1, 1, 60, 4, 127, 1, n, int(number or 0))
                for n in range(count))
        return data[:2] + struct.pack(">5H", flags, 1, count, 0, 0) + question + records

    def serve_udp(self):
        while True:
            data, address = self.udp.recvfrom(1000)
            if not data:
                return
            answer = self.answer(data, True)
            if answer is not None:
                self.udp.sendto(answer, address)

    def serve_tcp(self):
        while True:
            try:
                connection = self.tcp.accept()[0]
            except OSError:
                return
            threading.Thread(target=self.serve_connection, args=(connection,), daemon=True).start()

    def serve_connection(self, connection):
        with connection:
            while len(size := connection.recv(2)) == 2:
                data = connection.recv(*struct.unpack(">H", size), socket.MSG_WAITALL)
                answer = self.answer(data, False)
                if b"\5reset" in data:
                    return peers.close_with_reset(connection)
                if b"\6broken" in data:
                    return connection.sendall(struct.pack(">H", len(answer)) + answer[:5])
                connection.sendall(struct.pack(">H", len(answer)) + answer)


class Cares(unittest.TestCase):
    def resolve(self, names, address=None, **more):
        """The answers, by name."""
        if address is None:
            server = NameServer()
            self.addCleanup(server.close)
            address = f"127.0.0.1:{server.port}"
            self.asked = server.asked
        code, lines, errors, cpu = peers.run(address, *names, **more)
        self.assertEqual((code, errors), (0, ""))
        self.assertEqual(len(lines), len(names))
        self.assertLess(cpu, 2)
        return dict(line.split(": ", 1) for line in lines)

    def test_200_names(self):
        names = [f"name-{n}.test" for n in range(200)]
        self.assertEqual(self.resolve(names), {name: f"127.1.0.{n}" for n, name in enumerate(names)})

    def test_names_that_time_out_while_others_are_answered(self):
        silent = [f"silent-{n}.test" for n in range(20)]
        answered = [f"name-{n}.test" for n in range(20)]
        answers = self.resolve(silent + answered + ["second-7.test"])
        self.assertEqual({answers[name] for name in silent}, {"Timeout while contacting DNS servers"})
        self.assertEqual([answers[name] for name in answered], [f"127.1.0.{n}" for n in range(20)])
        self.assertEqual(answers["second-7.test"], "127.1.0.7")
        self.assertEqual(self.asked["second-7", True], 2)
        self.assertEqual(self.asked["silent-0", True], 3)

    def test_long_answers_come_by_tcp(self):
        answers = self.resolve(["long-1.test", "long-2.test"])
        self.assertEqual(sorted(answers["long-1.test"].split()), sorted(f"127.1.{n}.1" for n in range(40)))
        self.assertEqual(self.asked["long-2", False], 1)

    def test_wrong_names_and_servers_that_break_off(self):
        answers = self.resolve(["nobody.test", "failing.test", "reset.test", "broken.test", "name-1.test"])
        self.assertEqual(answers.pop("nobody.test"), "Domain name not found")
        self.assertEqual(answers.pop("name-1.test"), "127.1.0.1")
        for name in "failing.test", "reset.test", "broken.test":
            self.assertIn(answers[name], ("Could not contact DNS servers",
                    "Timeout while contacting DNS servers"))

    def test_a_server_that_refuses(self):
        bound = socket.socket(type=socket.SOCK_DGRAM)
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        bound.close()
        answers = self.resolve([f"name-{n}.test" for n in range(20)], f"127.0.0.1:{port}")
        self.assertLessEqual(set(answers.values()), {"Could not contact DNS servers",
                "Timeout while contacting DNS servers"})

    def test_out_of_descriptors(self):
        answers = self.resolve(["name-1.test", "long-1.test"], limit=6)
        self.assertEqual(answers["name-1.test"], "127.1.0.1")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
