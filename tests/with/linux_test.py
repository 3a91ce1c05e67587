# SPDX-License-Identifier: BSL-1.0
"""with_linux, to whose folder, FIFO and mounts things happen: linux_test.py PROGRAM"""

import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest

import peers


class Linux(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.fifo = os.path.join(tempfile.mkdtemp(dir=self.folder), "fifo")
        os.mkfifo(self.fifo)

    def start(self, *before, **more):
        process = peers.Process(*before, peers.PROGRAM, self.folder, self.fifo, **more)
        self.addCleanup(process.close)
        self.addCleanup(process.end, 9)
        return process

    def finish(self, process):
        process.process.stdin.close()
        lines = process.rest()
        self.assertEqual((process.wait(), process.stderr()), (0, ""))
        return lines

    def assert_idle(self, process):
        before = process.cpu_so_far()
        time.sleep(1)
        self.assertLess(process.cpu_so_far() - before, 0.5)

    def test_what_is_there_from_the_start(self):
        process = self.start()
        seen = {process.line() for _ in range(5)}
        while "timerfd: 1" not in seen or "pty: end" not in seen:
            seen.add(process.line())
        self.assertIn("netlink: link 1", seen)  # the loopback device
        self.assertTrue(any(line.startswith("pty: a terminal") for line in seen), seen)
        self.assert_idle(process)
        self.finish(process)

    def test_files_that_come_and_go(self):
        process = self.start()
        process.expect("timerfd")
        for n in range(500):
            with open(f"{self.folder}/{n}", "w"):
                pass
        for n in range(500):
            process.expect(f"inotify: + {n}")
        os.remove(f"{self.folder}/7")
        process.expect("inotify: - 7")
        self.finish(process)

    def test_more_files_than_the_kernel_keeps_events_of(self):
        process = self.start()
        process.expect("timerfd")
        os.kill(process.pid, signal.SIGSTOP)
        with open("/proc/sys/fs/inotify/max_queued_events") as most:
            count = int(most.read()) // 2 + 1
        self.assertLess(count, 100000)
        for _ in range(count):
            os.close(os.open(f"{self.folder}/x", os.O_CREAT))
            os.remove(f"{self.folder}/x")
        os.kill(process.pid, signal.SIGCONT)
        process.expect("inotify: overflow")
        self.finish(process)

    def test_writers_that_come_and_go(self):
        process = self.start()
        self.assert_idle(process)
        for n in range(20):
            with open(self.fifo, "w") as writer:
                writer.write(f"writer {n}\n")
                writer.flush()
                process.expect(f"fifo: writer {n}")
            process.expect("fifo: no writer")
        self.assert_idle(process)
        with open(self.fifo, "w") as first, open(self.fifo, "w") as second:
            first.close()
            second.write("second\n")
            second.flush()
            process.expect("fifo: second")
        process.expect("fifo: no writer")
        self.assert_idle(process)
        self.finish(process)

    def test_a_mount(self):
        if subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode != 0:
            self.skipTest("mounts cannot be changed here")
        inside = tempfile.mkdtemp(dir=self.folder)
        process = self.start("unshare", "--mount")
        process.expect("timerfd")
        for command in ["mount", "-t", "tmpfs", "none", inside], ["umount", inside]:
            subprocess.run(["nsenter", f"--mount=/proc/{process.pid}/ns/mnt", *command], check=True,
                    capture_output=True)
            process.expect("mounts: changed")
        self.assert_idle(process)
        self.assertNotIn("mounts: changed", self.finish(process))

    def test_out_of_descriptors(self):
        code, lines, errors, _ = peers.run(self.folder, self.fifo, limit=7)
        self.assertEqual((code, lines), (1, []))
        self.assertIn("Too many open files", errors)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
