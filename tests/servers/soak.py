# SPDX-License-Identifier: BSL-1.0
"""Hundreds of clients that talk, stall, flood, reset and vanish at random, and what must hold all the while.

    soak.py PROGRAM BACKEND echo|chat [--seconds N] [--clients N] [--seed N]
"""

import argparse
import asyncio
import collections
import random
import socket
import struct
import sys
import time
import zlib

import driver

STEADY = 20  # chat clients that stay for the whole run and must miss nothing
counts = collections.Counter()


def require(holds, what):
    if not holds:
        sys.exit(f"soak: {what}; seed {options.seed}")


async def connect(address):
    client = socket.socket()
    client.setblocking(False)
    await asyncio.get_running_loop().sock_connect(client, address)
    counts["connections"] += 1
    return client


def leave(client, resets):
    """Closes; by a reset, whatever is still on its way."""
    if resets:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    counts["resets" if resets else "vanished"] += 1


async def read_all(client):
    loop, parts = asyncio.get_running_loop(), []
    while part := await loop.sock_recv(client, 1 << 16):
        parts.append(part)
    return b"".join(parts)


# ---- echo --------------------------------------------------------------------------------------------------


async def send_in_pieces(client, data):
    loop = asyncio.get_running_loop()
    while data:
        piece = random.choice((1, 100, 5000, 100_000))
        await loop.sock_sendall(client, data[:piece])
        data = data[piece:]
        if random.random() < 0.2:
            await asyncio.sleep(random.random() * 0.05)
    client.shutdown(socket.SHUT_WR)


async def echo_client(address, until):
    loop = asyncio.get_running_loop()
    await asyncio.sleep(random.random())
    while time.monotonic() < until:
        client = await connect(address)
        manner = random.choice(("talk", "talk", "stall", "flood", "reset", "vanish"))
        try:
            if manner in ("reset", "vanish"):
                await loop.sock_sendall(client, random.randbytes(random.randrange(20_000)))
                leave(client, manner == "reset")
                continue
            data = random.randbytes(random.randrange(1, 1_000_000 if manner == "flood" else 30_000))
            sending = asyncio.create_task(send_in_pieces(client, data))
            if manner == "stall":
                await asyncio.sleep(random.random())
            back = await read_all(client)
            await sending
            require(back == data, f"of {len(data)} bytes {len(back)} came back, or others")
            counts["bytes"] += len(data)
        finally:
            client.close()
        await asyncio.sleep(random.random() * 0.5)


# ---- chat --------------------------------------------------------------------------------------------------


class Steady:
    """Talks at its own pace, reads at once, and records what the other steady clients have said."""

    def __init__(self, number):
        self.name = f"steady{number}"
        self.said = 0
        self.heard = collections.Counter()

    async def join(self, address):
        self.client = await connect(address)
        await asyncio.get_running_loop().sock_sendall(self.client, f"/nick {self.name}\n".encode())

    async def talk(self, until):
        loop = asyncio.get_running_loop()
        while time.monotonic() < until:
            text = f"{self.said} {'x' * random.randrange(300)}"
            await loop.sock_sendall(self.client, f"{text} {zlib.crc32(text.encode())}\n".encode())
            self.said += 1
            await asyncio.sleep(random.random() * 0.5)

    async def listen(self):
        loop, rest = asyncio.get_running_loop(), b""
        while part := await loop.sock_recv(self.client, 1 << 18):
            *lines, rest = (rest + part).split(b"\n")
            for line in lines:
                self.hear(line)

    def hear(self, line):
        counts["lines"] += 1
        require(
            all(byte >= 32 and byte != 127 for byte in line), f"a control character came through: {line!r}"
        )
        name, colon, said = line.decode(errors="replace").partition(": ")
        if line.startswith(b"* ") or not colon or not name.startswith("steady"):
            return
        require(name != self.name, "a line came back to who sent it")
        text, _, checksum = said.rpartition(" ")
        require(zlib.crc32(text.encode()) == int(checksum), f"a line is broken: {line!r}")
        number = int(text.split()[0])
        require(number == self.heard[name], f"line {number} of {name} came where {self.heard[name]} was next")
        self.heard[name] += 1


async def crowd_client(address, until):
    loop = asyncio.get_running_loop()
    await asyncio.sleep(random.random() * 5)
    while time.monotonic() < until:
        client = await connect(address)
        manner = random.choice(("talk", "talk", "stall", "flood", "long", "half"))
        end = min(until, time.monotonic() + 3 + random.random() * 5)
        try:
            while time.monotonic() < end:
                if manner != "stall":
                    await asyncio.wait_for(loop.sock_recv(client, 1 << 18), 2)
                if manner == "talk":
                    await loop.sock_sendall(
                        client, b"/who\r\nhello \x1b[31m there\r\n" if random.random() < 0.1 else b"hello\n"
                    )
                if manner == "flood":
                    await asyncio.wait_for(loop.sock_sendall(client, b"/who\n" * 1000), 2)
                if manner == "long":
                    await loop.sock_sendall(client, b"y" * 5000)
                if manner == "half":
                    await loop.sock_sendall(client, b"half a ")
                await asyncio.sleep(random.random() * 2)
            leave(client, random.random() < 0.5)
        except (ConnectionError, TimeoutError, asyncio.TimeoutError):
            counts["ended or stuck"] += 1
        finally:
            client.close()


# ---- the whole ---------------------------------------------------------------------------------------------


async def echo(server, until):
    await asyncio.gather(*(echo_client(server.address, until) for _ in range(options.clients)))


async def chat(server, until):
    steady = [Steady(number) for number in range(STEADY)]
    for one in steady:
        await one.join(server.address)
    listening = [asyncio.create_task(one.listen()) for one in steady]
    await asyncio.sleep(1)
    await asyncio.gather(
        *(one.talk(until) for one in steady),
        *(crowd_client(server.address, until) for _ in range(options.clients - STEADY)),
    )
    deadline = time.monotonic() + driver.PATIENCE
    for one in steady:
        said = {other.name: other.said for other in steady if other is not one and other.said}
        while dict(one.heard) != said and time.monotonic() < deadline:
            await asyncio.sleep(0.05)
        require(dict(one.heard) == said, f"{one.name} heard {dict(one.heard)} of {said}")
        counts["checked lines"] += sum(one.heard.values())
    for one, task in zip(steady, listening):
        one.client.shutdown(socket.SHUT_WR)
        await asyncio.wait_for(task, driver.PATIENCE)
        one.client.close()


def calm(server, descriptors):
    """Waits until the server has noticed that all have left."""
    deadline = time.monotonic() + driver.PATIENCE
    while server.descriptors() != descriptors and time.monotonic() < deadline:
        time.sleep(0.05)
    require(
        server.descriptors() == descriptors, f"{server.descriptors()} descriptors are open, not {descriptors}"
    )


def main():
    random.seed(options.seed)
    server = driver.Server()
    descriptors = server.descriptors()
    memory = []
    for part in range(2):  # the first one warms up
        load = {"echo": echo, "chat": chat}[options.server](server, time.monotonic() + options.seconds / 2)
        asyncio.run(asyncio.wait_for(load, options.seconds / 2 + 3 * driver.PATIENCE))
        calm(server, descriptors)
        memory.append(server.memory())
    idle = [socket.create_connection(server.address) for _ in range(100)]
    time.sleep(0.5)
    used = server.cpu()
    time.sleep(2)
    used = server.cpu() - used
    for one in idle:
        one.close()
    calm(server, descriptors)
    code, errors = server.end()
    print(
        f"{options.server} on {driver.BACKEND}, {options.seconds} s, {options.clients} clients:",
        ", ".join(f"{count} {what}" for what, count in sorted(counts.items())),
        f"; memory {memory[0] >> 10} KiB after half, {memory[1] >> 10} KiB after all; "
        f"{used:.2f} s of CPU in 2 s idle",
    )
    require(memory[1] <= memory[0] * 1.1 + (4 << 20), "memory grows")
    require(used <= 0.02, "an idle server works")
    require((code, errors) == (0, ""), f"it ended with {code} and {errors!r}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("program")
    parser.add_argument("backend")
    parser.add_argument("server", choices=("echo", "chat"))
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--clients", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    main()
