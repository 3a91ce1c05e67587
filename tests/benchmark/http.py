# SPDX-License-Identifier: BSL-1.0
"""Requests a second, and processor time of the server for each, of HTTP servers that take turns under wrk.

    http.py WRK PROGRAM... [--rounds N] [--seconds N]

Each program prints `listening on 127.0.0.1:PORT`. nginx, one worker, is measured too where it is installed.
"""

import argparse
import os
import pathlib
import re
import shutil
import signal
import socket
import statistics
import subprocess
import tempfile
import time

arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
arguments.add_argument("wrk")
arguments.add_argument("programs", nargs="+")
arguments.add_argument("--rounds", type=int, default=5)
arguments.add_argument("--seconds", type=int, default=3)
options = arguments.parse_args()

NGINX = """worker_processes 1; daemon off; pid {folder}/pid; error_log {folder}/log;
events {{ worker_connections 4096; }}
http {{ access_log off; keepalive_requests 1000000;
  client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
  uwsgi_temp_path {folder}; scgi_temp_path {folder};
  server {{ listen 127.0.0.1:{port};
    location /hello {{ default_type text/plain; return 200 "Hello, world!\\n"; }} }} }}
"""


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


class Server:
    def __init__(self, program):
        self.name = pathlib.Path(program).name
        command = [program, "--port", "0"] if self.name == "http_server" else [program]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline().rpartition(":")[2])
        self.pid = self.process.pid

    def cpu(self):
        """In seconds."""
        fields = pathlib.Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()


class Nginx(Server):
    def __init__(self, program):
        self.name, self.port = "nginx", free_port()
        self.folder = tempfile.TemporaryDirectory()
        file = pathlib.Path(self.folder.name, "conf")
        file.write_text(NGINX.format(folder=self.folder.name, port=self.port))
        self.process = subprocess.Popen([program, "-e", f"{self.folder.name}/log", "-c", str(file)])
        children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        while not (workers := children.read_text().split()):
            time.sleep(0.01)
        self.pid = int(workers[0])

    def end(self):
        super().end()
        self.folder.cleanup()


def measure(server, connections):
    """Requests a second, and microseconds of processor time for each."""
    before = server.cpu()
    command = [
        options.wrk,
        "-t1",
        f"-c{connections}",
        f"-d{options.seconds}",
        f"http://127.0.0.1:{server.port}/hello",
    ]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in said or "Socket errors" in said:
        raise SystemExit(f"{server.name}:\n{said}")
    requests = int(re.search(r"(\d+) requests in", said).group(1))
    return (
        float(re.search(r"Requests/sec:\s+([\d.]+)", said).group(1)),
        1e6 * (server.cpu() - before) / requests,
    )


servers = [Server(program) for program in options.programs]
if nginx := shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin"):
    servers.append(Nginx(nginx))
try:
    print("| connections | server | requests a second | processor time of a request |\n|--:|---|--:|--:|")
    for connections in 64, 1000:
        results = {server.name: [] for server in servers}
        for turn in range(options.rounds):
            for server in servers[turn % len(servers) :] + servers[: turn % len(servers)]:
                results[server.name].append(measure(server, connections))
        for name, measured in results.items():
            rate, cost = (statistics.median(column) for column in zip(*measured))
            costs = sorted(cost for _, cost in measured)
            print(
                f"| {connections:,} | {name} | {rate:,.0f} "
                f"| {cost:.1f} µs ({costs[0]:.1f}–{costs[-1]:.1f}) |",
                flush=True,
            )
finally:
    for server in servers:
        server.end()
