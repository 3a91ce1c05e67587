# SPDX-License-Identifier: BSL-1.0
"""with_openssl, with many clients, and some that break off or ask for new keys: openssl_test.py PROGRAM"""

import ctypes
import ctypes.util
import os
import select
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import unittest

import peers


class Openssl(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.certificate, cls.key = (os.path.join(cls.folder.name, name) for name in ("certificate.pem",
                "key.pem"))
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                "ec_paramgen_curve:prime256v1", "-nodes",
                        "-days", "2", "-subj", "/CN=localhost", "-out", cls.certificate, "-keyout", cls.key],
                       check=True, capture_output=True, timeout=peers.PATIENCE)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def setUp(self):
        self.start()

    def start(self, **more):
        self.server = peers.program(self.certificate, self.key, **more)
        self.addCleanup(self.server.close)
        self.addCleanup(self.server.end, 9)
        self.address = "127.0.0.1", int(self.server.expect("listening on ").rpartition(":")[2])

    def stop(self):
        """A graceful end, which a sanitizer needs."""
        self.assertEqual((self.server.end(), self.server.stderr()), (0, ""))

    def connect(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.load_verify_locations(self.certificate)
        raw = socket.create_connection(self.address, peers.PATIENCE)
        try:
            return context.wrap_socket(raw)
        except BaseException:
            raw.close()
            raise

    def echoes(self, client, data=b"hello"):
        client.sendall(data)
        self.assertEqual(self.read(client, len(data)), data)

    def read(self, client, count):
        data = b""
        while len(data) < count and (more := client.recv(count - len(data))):
            data += more
        return data

    def assert_idle(self):
        before = self.server.cpu_so_far()
        time.sleep(0.5)
        self.assertLess(self.server.cpu_so_far() - before, 0.25)

    def test_200_clients_at_once(self):
        wrong = []
        data = os.urandom(70000)

        def one():
            try:
                with self.connect() as client:
                    for size in 1, 5, 4096, 4097, 16384, 70000:
                        self.echoes(client, data[:size])
            except BaseException as error:  # reported by the test's own thread
                wrong.append(error)

        threads = [threading.Thread(target=one) for _ in range(200)]
        before = self.server.descriptors()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(wrong, [])
        peers.eventually(lambda: self.server.descriptors() == before, "all connections are closed")
        self.stop()

    def test_whole_records_that_have_been_read_already_are_served(self):
        # Six records in one segment: the first read takes them all from the socket, which is silent then.
        with self.connect() as client:
            for size in range(1, 2000, 111):
                for _ in range(6):
                    client.send(b"x" * size)
                self.assertEqual(len(self.read(client, 6 * size)), 6 * size)
            self.assert_idle()
        self.stop()

    def test_a_client_that_does_not_read_is_not_read_from(self):
        with self.connect() as client, self.connect() as other:
            client.settimeout(1)
            sent = 0
            with self.assertRaises(TimeoutError):
                while sent < 200 << 20:
                    sent += client.send(b"x" * 16384)
            self.assert_idle()
            other.settimeout(peers.PATIENCE)
            self.echoes(other)
        self.stop()

    def test_peers_that_break_off(self):
        before = self.server.descriptors()
        with socket.create_connection(self.address) as plain:
            plain.sendall(b"GET / HTTP/1.0\r\n\r\n")  # which is not TLS
            plain.settimeout(peers.PATIENCE)
            while plain.recv(1000):
                pass
        with socket.create_connection(self.address):
            pass  # no handshake
        with socket.create_connection(self.address) as half:
            half.sendall(b"\x16\x03\x01\x02\x00\x01")  # a part of one
        client = self.connect()
        client.sendall(b"x" * 100000)
        peers.close_with_reset(client)  # in the middle
        with self.connect() as client:
            self.echoes(client, b"bye")
            client.unwrap()  # close_notify is answered by one
        peers.eventually(lambda: self.server.descriptors() == before, "all connections are closed")
        with self.connect() as client:
            self.echoes(client)
        self.stop()

    def test_out_of_descriptors(self):
        self.stop()
        self.start(limit=30)
        clients = []
        with self.assertRaises(OSError):
            for _ in range(40):
                raw = socket.create_connection(self.address)
                clients.append(raw)
                raw.settimeout(0.5)
                clients[-1] = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                clients[-1].check_hostname, clients[-1].verify_mode = False, ssl.CERT_NONE
                clients[-1] = clients[-1].wrap_socket(raw)
        self.assertGreater(len(clients), 10)
        self.assert_idle()
        for client in clients[:-1]:
            client.close()
        with self.connect() as client:
            self.echoes(client)
        self.stop()

    def test_s_client_changes_keys(self):
        command = ["openssl", "s_client", "-connect", "%s:%d" % self.address, "-tls1_3", "-CAfile",
                self.certificate]
        with peers.Process(*command) as client:
            client.expect("SSL handshake has read")
            for n in range(5):
                client.say(f"before {n}\n")
                client.expect(f"before {n}")
                client.say("Kk"[n % 2] + "\n")  # new keys: of both sides, of one
                time.sleep(0.1)
                client.say(f"after {n}\n")
                client.expect(f"after {n}")
            client.say("Q\n")
            client.wait()
        self.stop()

    def test_a_read_that_has_to_write(self):
        """A client asks for new keys, each time for an answer too, and does not read the answers."""
        libssl = ctypes.CDLL(ctypes.util.find_library("ssl"))
        for name in "TLS_client_method", "SSL_CTX_new", "SSL_new":
            getattr(libssl, name).restype = ctypes.c_void_p
        context = ctypes.c_void_p(libssl.SSL_CTX_new(ctypes.c_void_p(libssl.TLS_client_method())))
        tls = ctypes.c_void_p(libssl.SSL_new(context))
        raw = socket.socket()
        for buffer in socket.SO_RCVBUF, socket.SO_SNDBUF:
            raw.setsockopt(socket.SOL_SOCKET, buffer, 4096)
        raw.connect(self.address)
        libssl.SSL_set_fd(tls, raw.fileno())
        self.assertEqual(libssl.SSL_connect(tls), 1)
        raw.setblocking(False)
        sent = 0
        while sent < 2_000_000:
            libssl.SSL_key_update(tls, 1)  # SSL_KEY_UPDATE_REQUESTED
            if libssl.SSL_do_handshake(tls) != 1:
                if self.waits_to_write():
                    break
                time.sleep(0.01)
            sent += 1
        self.assertTrue(self.waits_to_write(), sent)
        self.assert_idle()
        with self.connect() as other:
            self.echoes(other)
        # Now it reads, and so the server does.
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        buffer = ctypes.create_string_buffer(100)
        got = written = -1
        until = time.monotonic() + peers.PATIENCE
        while got <= 0 and time.monotonic() < until:
            got = libssl.SSL_read(tls, buffer, 100)
            if written <= 0:
                written = libssl.SSL_write(tls, b"still here", 10)
            select.select([raw], [raw] if written <= 0 else [], [], 1)
        self.assertEqual(buffer.value[:got], b"still here")
        libssl.SSL_free(tls)
        libssl.SSL_CTX_free(context)
        raw.close()
        self.stop()

    def waits_to_write(self):
        """Whether the server has a connection registered for EPOLLOUT and not for EPOLLIN: proc(5)."""
        for number in os.listdir(f"/proc/{self.server.pid}/fdinfo"):
            with open(f"/proc/{self.server.pid}/fdinfo/{number}") as info:
                for line in info:
                    if line.startswith("tfd:") and int(line.split()[3], 16) & 5 == 4:
                        return True
        return False


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
