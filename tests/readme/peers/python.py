# SPDX-License-Identifier: BSL-1.0
import selectors
import socket
import sys

port = int(sys.argv[1]) if len(sys.argv) > 1 else 12345
sock = socket.create_server(("127.0.0.1", port), backlog=128)
sock.setblocking(False)
print(f"listening on 127.0.0.1:{port}", flush=True)

sel = selectors.DefaultSelector()


def echo(conn):
    try:
        data, sent = b"", 0
        data = conn.recv(4096, socket.MSG_PEEK)
        sent = conn.send(data)
        conn.recv(sent)
    except BlockingIOError:
        pass
    except ConnectionError:
        data = b""
    if data:
        sel.modify(conn, selectors.EVENT_READ if sent == len(data) else selectors.EVENT_WRITE, echo)
    else:
        sel.unregister(conn)
        conn.close()


def accept(sock):
    conn, _ = sock.accept()
    conn.setblocking(False)
    sel.register(conn, selectors.EVENT_READ, echo)


sel.register(sock, selectors.EVENT_READ, accept)
while True:
    for key, events in sel.select():
        key.data(key.fileobj)
