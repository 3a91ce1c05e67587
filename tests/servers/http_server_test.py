# SPDX-License-Identifier: BSL-1.0
"""The HTTP server, driven by real clients: http_server_test.py PROGRAM BACKEND"""

import http.client
import shutil
import signal
import socket
import subprocess
import time
import unittest

import driver
from driver import PATIENCE

HELLO = b"Hello, world!\n"
GET = b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n"
LARGE = b"GET /megabyte HTTP/1.1\r\nHost: x\r\n\r\n"


class Response:
    """The next response on a connection."""

    def __init__(self, client, of_head=False):
        first = client.line()
        if first is None:
            raise ConnectionError("it was closed")
        version, status, self.reason = first.rstrip("\r").split(" ", 2)
        assert version == "HTTP/1.1", first
        self.status, self.fields = int(status), {}
        while (line := client.line()) not in ("\r", None):
            name, _, value = line.rstrip("\r").partition(": ")
            self.fields[name.lower()] = value
        self.body = b"" if of_head else client.read(int(self.fields["content-length"]))


class Http(driver.CommandLine):
    def serves(self, client):
        client.send(GET)
        self.assertEqual(Response(client).body, HELLO)

    def ask(self, server, request):
        """The status of the response to one request, and whether the connection ends after it."""
        client = self.connect(server)
        client.send(request)
        answer = Response(client)
        if answer.fields["connection"] == "close":
            self.assertEqual(client.rest(), b"")
        else:
            self.serves(client)
        client.close()
        return answer.status, answer.fields["connection"]

    def test_answers(self):
        server = self.server()
        client = self.connect(server)
        for path, status, kind in (
            ("/", 200, "text/html"),
            ("/hello", 200, "text/plain"),
            ("/hello?a=b", 200, "text/plain"),
            ("http://elsewhere/hello", 200, "text/plain"),
            ("/nothing", 404, "text/plain"),
            ("*", 404, "text/plain"),
            ("/../../etc/passwd", 404, "text/plain"),
        ):
            client.send(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            answer = Response(client)
            self.assertEqual((answer.status, answer.fields["content-type"]), (status, kind))
            self.assertTrue(answer.fields["date"].endswith(" GMT"))
            client.send(f"HEAD {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            head = Response(client, of_head=True)
            self.assertEqual(
                (head.status, head.fields["content-length"]), (status, answer.fields["content-length"])
            )
        client.send(b"POST /hello HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        answer = Response(client)
        self.assertEqual((answer.status, answer.fields["allow"]), (405, "GET, HEAD"))

    def test_refused(self):
        server = self.server()
        for status, requests in {
            400: [
                b"nonsense\r\n\r\n",
                b"GET\r\n\r\n",
                b"GET /hello\r\n\r\n",
                b"GET  /hello HTTP/1.1\r\nHost: x\r\n\r\n",
                b"GET /hello HTTP/1.1 \r\nHost: x\r\n\r\n",
                b"GET /hello http/1.1\r\nHost: x\r\n\r\n",
                b"GET /hello HTTP/11\r\nHost: x\r\n\r\n",
                b"G\xe4T /hello HTTP/1.1\r\nHost: x\r\n\r\n",
                b"GET /h\x00llo HTTP/1.1\r\nHost: x\r\n\r\n",
                b"GET /hello HTTP/1.1\r\n\r\n",
                b"GET /hello HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
                b"GET /hello HTTP/1.1\r\nHost : x\r\n\r\n",
                b"GET /hello HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n",
                b"GET /hello HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n",
                b"GET /hello HTTP/1.1\r\nHost: x\r\nA: b\nB: c\r\n\r\n",
                b"GET /hello HTTP/1.1\r\nHost: x\r\n: c\r\n\r\n",
                b"GET /hello HTTP/1.1\r\nHost: x\r\nA: b\rB: c\r\n\r\n",
                b"GET /hello HTTP/1.1\nHost: x\r\n\r\n",
                b"GET /hello HTTP/1.1\r\nHost: x\r\nA: b\x00\r\n\r\n",
                b"\r\n\r\n\r\n",
                b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
                b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +1\r\n\r\n",
                b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1,1\r\n\r\n",
                b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length:\r\n\r\n",
                b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999\r\n\r\n",
                b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
                b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            ],
            413: [b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 65537\r\n\r\n"],
            414: [b"GET /" + b"a" * 8192],
            417: [b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n"],
            431: [
                b"GET /hello HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 8192,
                b"GET /hello HTTP/1.1\r\n" + b"A: b\r\n" * 2000,
            ],
            501: [b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"],
            505: [b"GET /hello HTTP/2.0\r\nHost: x\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"],
        }.items():
            for request in requests:
                with self.subTest(request[:100]):
                    self.assertEqual(self.ask(server, request), (status, "close"))
        self.assertEqual(
            self.ask(server, b"GET /hello HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 8100 + b"\r\n\r\n"),
            (200, "keep-alive"),
        )

    def test_who_closes(self):
        server = self.server()
        for version, fields, connection in (
            ("1.1", "", "keep-alive"),
            ("1.1", "Connection: close\r\n", "close"),
            ("1.1", "connection: TE , CLOSE\r\n", "close"),
            ("1.1", "Connection: keep-alive\r\nConnection: close\r\n", "close"),
            ("1.1", "Connection: closed\r\n", "keep-alive"),
            ("1.0", "", "close"),
            ("1.0", "Connection: Keep-Alive\r\n", "keep-alive"),
        ):
            with self.subTest(version, fields=fields):
                request = f"GET /hello HTTP/{version}\r\nHost: x\r\n{fields}\r\n"
                self.assertEqual(self.ask(server, request.encode()), (200, connection))

    def test_pipelined_requests_are_answered_in_order(self):
        client = self.connect(self.server())
        kinds = (
            (GET, 200),
            (b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n", 404),
            (LARGE, 200),
            (b"\r\n" + GET, 200),
        )
        client.send(b"".join(request for request, _ in kinds) * 20)
        for _ in range(20):
            for _, status in kinds:
                self.assertEqual(Response(client).status, status)
        self.serves(client)

    def test_byte_by_byte(self):
        client = self.connect(self.server())
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(3):
            for byte in GET:
                client.send(bytes([byte]))
            self.assertEqual(Response(client).body, HELLO)

    def test_a_body_is_no_request(self):
        client = self.connect(self.server())
        for size in 1, 100, 65536:
            body = (GET * (size // len(GET) + 1))[:size]
            client.send(b"POST /hello HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size + body + GET)
            self.assertEqual(Response(client).status, 405)
            self.assertEqual(Response(client).body, HELLO)

    def test_a_connection_has_a_limit_of_requests(self):
        client = self.connect(self.server())
        client.send(GET * 1100)
        connections = [Response(client).fields["connection"] for _ in range(1000)]
        self.assertEqual(connections, ["keep-alive"] * 999 + ["close"])
        self.assertEqual(client.rest(), b"")

    def test_who_is_refused_in_the_middle_still_hears_why(self):
        client = self.connect(self.server())
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999\r\n\r\n" + b"x" * 1_000_000)
        self.assertEqual(Response(client).status, 413)
        self.assertEqual(client.rest(), b"")

    def test_a_half_closed_client_is_answered(self):
        client = self.connect(self.server())
        client.send(LARGE + GET + b"GET /never fin")
        client.socket.shutdown(socket.SHUT_WR)
        self.assertEqual(len(Response(client).body), 1 << 20)
        self.assertEqual(Response(client).body, HELLO)
        self.assertEqual(client.rest(), b"")

    def test_slow_clients_have_deadlines(self):
        server = self.server()
        open_before = server.descriptors()
        began = time.monotonic()
        idle, half, trickling, silent, unread = clients = [self.connect(server) for _ in range(5)]
        half.send(b"GET /hello HT")
        silent.send(b"POST /hello HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nbody")
        unread.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        unread.send(LARGE * 20)
        trickling.socket.settimeout(0.2)
        for byte in GET:  # it has as much time as the others
            trickling.send(bytes([byte]))
            try:
                if trickling.more():
                    break
            except TimeoutError:
                pass
        for client, status in (half, 408), (trickling, 408), (silent, 405):
            client.socket.settimeout(PATIENCE)
            self.assertEqual(Response(client).status, status)
            self.assertEqual(client.rest(), b"")
        self.assertEqual(idle.rest(), b"")
        self.assertGreater(time.monotonic() - began, 4.9)
        driver.until(
            lambda: server.descriptors() == open_before
        )  # the one that does not read is gone as well
        self.assertGreater(time.monotonic() - began, 9.9)
        for client in clients:
            client.close()
        self.serves(self.connect(server))

    def test_who_does_not_read_is_not_read_from(self):
        server = self.server()
        before = server.memory()
        flooding = [self.connect(server) for _ in range(8)]
        for client in flooding:
            client.socket.setblocking(False)
            try:
                for _ in range(2000):
                    client.socket.send(GET * 1000)
            except BlockingIOError:
                pass
        self.assert_idle(server)
        self.assertLess(server.memory() - before, 16 << 20)
        self.serves(self.connect(server))

    def test_ends_when_all_are_answered(self):
        server = self.server()
        idle, busy, slow = [self.connect(server) for _ in range(3)]
        self.serves(idle)
        busy.send(LARGE * 40 + GET)
        slow.send(GET[:10])
        self.assertEqual(busy.read(4), b"HTTP")
        busy.buffer = b"HTTP" + busy.buffer
        self.serves(self.connect(server))  # the server has seen what slow sent
        server.process.send_signal(driver.END)
        self.assertEqual(idle.rest(), b"")
        with self.assertRaises(ConnectionRefusedError):
            server.connect()
        answers = 0
        try:
            while True:
                last = Response(busy)
                answers += 1
        except ConnectionError:
            pass
        self.assertGreater(answers, 0)
        self.assertEqual((last.status, last.fields["connection"]), (200, "close"))
        slow.send(GET[10:])
        self.assertEqual(Response(slow).fields["connection"], "close")
        slow.close()
        busy.close()
        self.assertEqual(server.end(how=0), (0, ""))

    def test_ends_in_time_whoever_lingers(self):
        server = self.server()
        slow = self.connect(server)
        slow.send(GET[:10])
        self.serves(self.connect(server))
        server.process.send_signal(driver.END)
        self.assertEqual(server.process.wait(PATIENCE), 0)
        slow.rest()

    def test_two_signals_end_it_at_once(self):
        server = self.server()
        slow = self.connect(server)
        slow.send(GET[:10])
        self.serves(self.connect(server))
        server.process.send_signal(driver.END)
        driver.until(lambda: not self.accepts(server))
        server.process.send_signal(signal.SIGINT)
        self.assertEqual(slow.rest(), b"")
        self.assertEqual(server.process.wait(PATIENCE), 0)

    def accepts(self, server):
        try:
            server.connect().close()
            return True
        except ConnectionRefusedError:
            return False

    def test_pythons_client(self):
        host, port = self.server().address
        connection = http.client.HTTPConnection(host, port, timeout=PATIENCE)
        for method, path, status in (
            ("GET", "/hello", 200),
            ("HEAD", "/megabyte", 200),
            ("GET", "/nothing", 404),
            ("POST", "/", 405),
        ):
            connection.request(method, path, b"a body" if method == "POST" else None)
            with connection.getresponse() as response:
                response.read()
                self.assertEqual(response.status, status)
        connection.close()

    def test_curl(self):
        if shutil.which("curl") is None:
            self.skipTest("curl is not installed")
        host, port = self.server().address
        url = f"http://{host}:{port}"
        got = subprocess.run(
            ["curl", "-sS", "-m", str(PATIENCE), f"{url}/hello", f"{url}/megabyte", f"{url}/hello"],
            capture_output=True,
            check=True,
        )
        self.assertEqual((len(got.stdout), got.stderr), (2 * len(HELLO) + (1 << 20), b""))

    def test_verbose(self):
        server = self.server("--verbose")
        client = self.connect(server)
        client.send(b"GET /\x1b[2J HTTP/1.1\r\nHost: x\r\n\r\n")
        self.assertEqual(Response(client).status, 400)
        client.close()
        host, port = server.address
        driver.until(lambda: server.descriptors() <= 6)
        code, err = server.end()
        self.assertIn(" came\n", err)
        self.assertIn(" 400\n", err)
        self.assertNotIn("\x1b", err)


if __name__ == "__main__":
    driver.main()
