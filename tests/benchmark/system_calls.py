# SPDX-License-Identifier: BSL-1.0
"""How many system calls a server makes for a request, by strace -c: system_calls.py PROGRAMS EXAMPLES prints
them by name, of the example servers, of the same by hand, and of libuv."""

import collections
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile

LISTENERS = 10  # of a chat


def connect(port):
    return socket.create_connection(("127.0.0.1", port), timeout=20)


def receive(client, size):
    while size > 0:
        size -= len(got := client.recv(65536))
        if not got:
            raise RuntimeError("a server that hangs up")


def receive_until(client, end):
    got = b""
    while not got.endswith(end):
        got += (more := client.recv(65536))
        if not more:
            raise RuntimeError("a server that hangs up")


class Echo:
    """One client sends 64 bytes and waits until they are back."""

    def __init__(self, port):
        self.client = connect(port)

    def play(self):
        self.client.sendall(b"x" * 64)
        receive(self.client, 64)


class Http(Echo):
    """One client asks for a small page, and again on the same connection."""

    def play(self):
        self.client.sendall(b"GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n")
        receive_until(self.client, b"Hello, world!\n")


class Chat:
    """One client says a line, and waits until all the others have heard it."""

    def __init__(self, port):
        self.clients = []
        for _ in range(LISTENERS + 1):
            self.clients.append(connect(port))
            receive_until(self.clients[-1], b"\n")  # it is greeted, so from now on it hears everything
        self.play(b"here\n")  # who came, and what else was said before, is over then

    def play(self, line=b"hello, everybody\n"):
        self.clients[0].sendall(line)
        for client in self.clients[1:]:
            receive_until(client, line)


def calls_of(command, talk, requests):
    """All the system calls, by name, of a server for so many requests."""
    with tempfile.TemporaryDirectory() as directory:
        counts = os.path.join(directory, "counts")
        traced = subprocess.Popen(
            ["strace", "-f", "-c", "-o", counts, *map(str, command)], stdout=subprocess.PIPE, text=True
        )
        try:
            port = int(re.search(r"(\d+)\s*$", traced.stdout.readline()).group(1))
            talking = talk(port)
            for _ in range(requests):
                talking.play()
        finally:
            children = pathlib.Path(f"/proc/{traced.pid}/task/{traced.pid}/children").read_text().split()
            for child in children:
                os.kill(int(child), signal.SIGTERM)
            traced.wait()
        rows = re.findall(
            r"^ *[\d.]+ +[\d.]+ +\d+ +(\d+)(?: +\d+)? +(\w+)$", pathlib.Path(counts).read_text(), re.MULTILINE
        )
        if not rows:
            raise RuntimeError(f"strace counted nothing of {command}")
        return collections.Counter({name: int(count) for count, name in rows if name != "total"})


def of_a_request(command, talk, requests=100):
    """The calls of one request, by name: what starts and ends a server is left out."""
    some, more = (calls_of(command, talk, count) for count in (requests, 2 * requests))
    each = {name: (more[name] - some[name]) / requests for name in more}
    return {name: calls for name, calls in each.items() if calls >= 0.05}


def servers(programs, examples):
    """Who is to be counted, by what is asked for and by name; those that are there."""
    port = ["--port", "0"]
    every = {
        "echo": (
            Echo,
            {
                "by_hand": [programs / "echo", "by_hand"],
                "selectors": [examples / "echo_server", *port],
                "libuv": [programs / "echo_libuv"],
            },
        ),
        "chat": (
            Chat,
            {
                "by_hand": [programs / "servers_by_hand", "chat"],
                "selectors": [examples / "chat_server", *port],
            },
        ),
        "http": (
            Http,
            {
                "by_hand": [programs / "servers_by_hand", "http"],
                "selectors": [examples / "http_server", *port],
            },
        ),
    }
    return {
        what: (talk, {who: command for who, command in of.items() if command[0].exists()})
        for what, (talk, of) in every.items()
    }


def main():
    programs, examples = (pathlib.Path(path) for path in sys.argv[1:])
    for what, (talk, commands) in servers(programs, examples).items():
        for who, command in commands.items():
            each = of_a_request(command, talk)
            parts = ", ".join(f"{name} {calls:.2f}" for name, calls in sorted(each.items()))
            print(f"{what}, {who}: {sum(each.values()):.2f} ({parts})", flush=True)


if __name__ == "__main__":
    main()
