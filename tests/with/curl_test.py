# SPDX-License-Identifier: BSL-1.0
"""with_curl, 200 transfers from a real HTTP server, which breaks some of them: curl_test.py PROGRAM"""

import collections
import http.server
import socket
import sys
import threading
import unittest

import peers


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    end_of_stall = threading.Event()

    def do_GET(self):
        what, _, size = self.path.strip("/").partition("/")
        body = b"x" * int(size or 0)
        if what == "reset":
            return self.drop(b"")
        if what == "reset-in-body":
            return self.drop(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nxxx")
        self.send_response(404 if what == "missing" else 200)
        self.send_header("Content-Length", str(len(body) * (2 if what in ("cut", "stall") else 1)))
        self.end_headers()
        self.wfile.write(body)
        if what == "stall":
            self.end_of_stall.wait(peers.PATIENCE)
        self.close_connection = what in ("cut", "close", "stall")

    def drop(self, first):
        self.wfile.write(first)
        self.close_connection = True
        peers.close_with_reset(self.connection)

    def finish(self):
        try:
            super().finish()
        except OSError:
            pass  # reset by one side or the other

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 512

    def handle_error(self, *_):
        pass

    def shutdown_request(self, request):
        if request.fileno() != -1:
            super().shutdown_request(request)


class Curl(unittest.TestCase):
    def setUp(self):
        Handler.end_of_stall.clear()
        self.server = Server(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def tearDown(self):
        Handler.end_of_stall.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def fetch(self, paths, seconds=50, **more):
        """What came of each path, counted."""
        code, lines, errors, cpu = peers.run(seconds, *(path if "://" in path else self.url + path
                for path in paths), **more)
        self.assertEqual((code, errors), (0, ""))
        self.assertEqual(len(lines), len(paths))
        self.assertLess(cpu, 5)
        return collections.Counter(line.removeprefix(self.url) for line in lines)

    def test_200_transfers_some_of_which_are_aborted(self):
        with peers.refusing_port() as refusing:
            refused = f"http://127.0.0.1:{refusing.getsockname()[1]}/"
            paths = [*["/whole/300000"] * 60, *["/close/2000"] * 40, *["/missing/7"] * 20,
                    *["/cut/1000"] * 20,
                     *["/reset"] * 20, *["/reset-in-body"] * 20, *[refused] * 20]
            outcomes = self.fetch(paths)
        self.assertEqual(outcomes.pop("/whole/300000: No error, 300000 bytes"), 60)
        self.assertEqual(outcomes.pop("/close/2000: No error, 2000 bytes"), 40)
        self.assertEqual(outcomes.pop("/missing/7: No error, 7 bytes"), 20)
        self.assertEqual(outcomes.pop("/cut/1000: Transferred a partial file, 1000 bytes"), 20)
        self.assertEqual(outcomes.pop(refused + ": Couldn't connect to server, 0 bytes"), 20)
        self.assertEqual(outcomes.pop("/reset: Failure when receiving data from the peer, 0 bytes"), 20)
        broken = {line: count for line, count in outcomes.items()
                if line.startswith("/reset-in-body: Failure when receiving")}
        self.assertEqual(sum(broken.values()), 20, outcomes)
        self.assertEqual(outcomes, broken)

    def test_transfers_are_given_up_in_the_middle_while_others_go_on(self):
        outcomes = self.fetch(["/stall/100"] * 20 + ["/whole/10"] * 30, seconds=3)
        self.assertEqual(outcomes, {"/stall/100: given up, 100 bytes": 20,
                "/whole/10: No error, 10 bytes": 30})

    def test_a_stalled_transfer_costs_no_processor_time(self):
        with peers.program(4, self.url + "/stall/100") as process:
            peers.eventually(lambda: threading.active_count() > 3, "the server has a connection")
            before = process.cpu_so_far()
            self.assertEqual(process.line(), self.url + "/stall/100: given up, 100 bytes")
            self.assertEqual(process.wait(), 0)
            self.assertLess(process.cpu - before, 1)

    def test_out_of_descriptors(self):
        outcomes = self.fetch(["/whole/1000"] * 100, limit=40)
        self.assertEqual(sum(outcomes.values()), 100)
        self.assertGreater(outcomes["/whole/1000: No error, 1000 bytes"], 5)
        self.assertGreater(outcomes["/whole/1000: Couldn't connect to server, 0 bytes"], 5)

    def test_a_server_that_ends_in_the_middle(self):
        with peers.program(50, *[self.url + "/stall/1"] * 5) as process:
            peers.eventually(lambda: threading.active_count() >= 7, "the server has the connections")
            Handler.end_of_stall.set()
            self.assertEqual(process.rest(), [self.url + "/stall/1: Transferred a partial file, 1 bytes"] * 5)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
