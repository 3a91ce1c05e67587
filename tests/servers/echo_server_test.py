# SPDX-License-Identifier: BSL-1.0
"""The echo server, driven by real clients: echo_server_test.py PROGRAM BACKEND"""

import os
import shutil
import socket
import subprocess
import threading
import time
import unittest

import driver
from driver import PATIENCE
from echo_behaviour import EchoBehaviour


class Echo(EchoBehaviour, driver.CommandLine):
    def test_verbose_tells_who_came_what_they_sent_and_who_left(self):
        server = self.server("--verbose")
        open_before = server.descriptors()
        client = self.connect(server)
        client.send(b"\x1b[2J\n")
        self.assertEqual(client.read(5), b"\x1b[2J\n")
        host, port = client.socket.getsockname()
        client.close()
        driver.until(lambda: server.descriptors() == open_before)
        code, err = server.end()
        self.assertEqual(code, 0)
        self.assertEqual(err, f"{host}:{port} came\n{host}:{port} sent \\x1b[2J\\x0a\n{host}:{port} left\n")

    def client_program(self, *command):
        """What a client program prints when it sends two lines."""
        if shutil.which(command[0]) is None:
            self.skipTest(f"{command[0]} is not installed")
        host, port = self.server().address
        command = [part.format(host=host, port=port) for part in command]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as client:
            timer = threading.Timer(PATIENCE, client.kill)
            timer.start()
            client.stdin.write(b"hello\nworld\n")
            client.stdin.flush()
            found = b""
            while b"world" not in found and (data := os.read(client.stdout.fileno(), 4096)):
                found += data
            client.stdin.close()
            client.terminate()
            timer.cancel()
        self.assertIn(b"hello\nworld", found.replace(b"\r", b""))

    def test_without_standard_streams_nothing_is_printed_to_a_client(self):
        with socket.create_server(("127.0.0.1", 0)) as probe:
            address = probe.getsockname()
        command = [*driver.COMMAND, "--port", str(address[1]), "--backend", driver.BACKEND, "--verbose"]
        closing = "" if driver.FOR_WINDOWS else "0<&- 2>&-"  # without them wine starts no program
        process = subprocess.Popen(
            ["sh", "-c", f'exec "$@" {closing}', "sh", *command],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            deadline = time.monotonic() + PATIENCE
            while True:
                try:
                    clients = [driver.Client(address) for _ in range(4)]
                    break
                except ConnectionRefusedError:
                    self.assertLess(time.monotonic(), deadline)
                    time.sleep(0.01)
            for client in clients:
                client.send(b"ping")
                client.socket.shutdown(socket.SHUT_WR)
            for client in clients:
                self.assertEqual(client.rest(), b"ping")
                client.socket.close()
        finally:
            process.send_signal(driver.END)
            process.wait(PATIENCE)

    def test_nc(self):
        self.client_program("nc", "{host}", "{port}")

    def test_socat(self):
        self.client_program("socat", "-", "TCP:{host}:{port}")

    def test_telnet(self):
        self.client_program("telnet", "{host}", "{port}")


if __name__ == "__main__":
    driver.main()
