# SPDX-License-Identifier: BSL-1.0
"""with_zmq between senders and receivers, of which some break off: zmq_test.py PROGRAM"""

import ctypes
import os
import resource
import signal
import socket
import sys
import threading
import time
import unittest

import peers

ZMQ = ctypes.CDLL("libzmq.so.5")
for name in "zmq_ctx_new", "zmq_socket":
    getattr(ZMQ, name).restype = ctypes.c_void_p
PULL, PUSH, SNDMORE, LINGER, RCVTIMEO, SNDTIMEO, RCVMORE, HWM = 7, 8, 2, 17, 27, 28, 13, (23, 24)


class Peer:
    def __init__(self, kind, endpoint, hwm=None):
        self.context = ctypes.c_void_p(ZMQ.zmq_ctx_new())
        self.socket = ctypes.c_void_p(ZMQ.zmq_socket(self.context, kind))
        for which, value in ((LINGER, 5000), (RCVTIMEO, peers.PATIENCE * 1000), (SNDTIMEO,
                peers.PATIENCE * 1000)):
            self.set(which, value)
        for which in HWM if hwm else ():
            self.set(which, hwm)
        assert ZMQ.zmq_connect(self.socket, endpoint.encode()) == 0

    def set(self, which, value):
        value = ctypes.c_int(value)
        assert ZMQ.zmq_setsockopt(self.socket, which, ctypes.byref(value), ctypes.sizeof(value)) == 0

    def send(self, data, flags=0):
        return ZMQ.zmq_send(self.socket, data, len(data), flags)

    def receive(self):
        buffer = ctypes.create_string_buffer(1 << 16)
        size = ZMQ.zmq_recv(self.socket, buffer, len(buffer), 0)
        return buffer.raw[:size] if size >= 0 else None

    def has_more(self):
        value, size = ctypes.c_int(), ctypes.c_size_t(ctypes.sizeof(ctypes.c_int))
        ZMQ.zmq_getsockopt(self.socket, RCVMORE, ctypes.byref(value), ctypes.byref(size))
        return value.value != 0

    def close(self):
        if self.socket:
            ZMQ.zmq_close(self.socket)
            ZMQ.zmq_ctx_term(self.context)
            self.socket = None


class Zmq(unittest.TestCase):
    def setUp(self):
        self.process = peers.program()
        self.addCleanup(self.process.close)
        self.addCleanup(self.process.end, 9)
        self.into = self.process.expect("pull at ").split()[-1]
        self.out = self.process.expect("push at ").split()[-1]

    def sender(self, **more):
        return self.peer(PUSH, self.into, **more)

    def receiver(self, **more):
        return self.peer(PULL, self.out, **more)

    def peer(self, *what, **more):
        made = Peer(*what, **more)
        self.addCleanup(made.close)
        return made

    def stop(self):
        self.assertEqual((self.process.end(), self.process.stderr()), (0, ""))

    def test_20000_messages_come_in_their_order(self):
        sender, receiver = self.sender(), self.receiver()
        thread = threading.Thread(target=lambda: [sender.send(b"%d" % n) for n in range(20000)])
        thread.start()
        for n in range(20000):
            self.assertEqual(receiver.receive(), b"%d" % n)
        thread.join()
        self.stop()

    def test_bursts_that_are_longer_than_a_turn_and_nothing_afterwards(self):
        sender, receiver = self.sender(), self.receiver()
        for burst in 1, 9, 10, 11, 35, 90:
            os.kill(self.process.pid, signal.SIGSTOP)  # so that all come at once
            for n in range(burst):
                sender.send(b"%d" % n)
            time.sleep(0.1)
            os.kill(self.process.pid, signal.SIGCONT)
            for n in range(burst):
                self.assertEqual(receiver.receive(), b"%d" % n)
            before = self.process.cpu_so_far()
            time.sleep(0.3)
            self.assertLess(self.process.cpu_so_far() - before, 0.2)
        self.stop()

    def test_parts_stay_together(self):
        sender, receiver = self.sender(), self.receiver()
        for n in range(100):
            for part in range(5):
                sender.send(b"%d.%d" % (n, part), SNDMORE if part < 4 else 0)
        for n in range(100):
            for part in range(5):
                self.assertEqual(receiver.receive(), b"%d.%d" % (n, part))
                self.assertEqual(receiver.has_more(), part < 4)
        self.stop()

    def test_nobody_who_receives(self):
        sender = self.sender(hwm=10)
        sender.set(SNDTIMEO, 1000)
        sent = 0
        while sender.send(b"%d " % sent + b"x" * 20000) > 0:
            sent += 1
            self.assertLess(sent, 5000)  # the queues are bounded
        before = self.process.cpu_so_far()
        time.sleep(0.5)
        self.assertLess(self.process.cpu_so_far() - before, 0.25)
        receiver = self.receiver()  # who comes late
        for n in range(sent):
            self.assertEqual(receiver.receive().split()[0], b"%d" % n)
        self.stop()

    def test_peers_that_break_off(self):
        for endpoint in self.into, self.out:
            address = "127.0.0.1", int(endpoint.rpartition(":")[2])
            for data in b"", b"\xff\0\0", b"GET / HTTP/1.0\r\n\r\n" + b"x" * 100:
                connection = socket.create_connection(address)
                connection.sendall(data)
                peers.close_with_reset(connection)
        for n in range(3):  # who come and go
            sender, receiver = self.sender(), self.receiver()
            sender.send(b"%d" % n)
            self.assertEqual(receiver.receive(), b"%d" % n)
            sender.close()
            receiver.close()
            time.sleep(0.1)
        self.stop()

    def test_out_of_descriptors(self):
        sender, receiver = self.sender(), self.receiver()
        sender.send(b"first")
        self.assertEqual(receiver.receive(), b"first")
        count = self.process.descriptors()
        resource.prlimit(self.process.pid, resource.RLIMIT_NOFILE, (count, 1000))
        others = [socket.create_connection(("127.0.0.1", int(self.into.rpartition(":")[2])))
                for _ in range(5)]
        sender.send(b"second")
        self.assertEqual(receiver.receive(), b"second")
        for other in others:
            other.close()
        resource.prlimit(self.process.pid, resource.RLIMIT_NOFILE, (1000, 1000))
        self.assertEqual(self.sender().send(b"third"), 5)
        self.assertEqual(receiver.receive(), b"third")
        self.stop()


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
