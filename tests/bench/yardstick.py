"""Prints the seconds of a processor that a fixed amount of work like mcvd's takes.

Calls over a socket, each answered by a thread of its own, with JSON of a hundred rows.
"""

import json
import socket
import threading
import time

CALLS = 1000
ROWS = [{"vm": f"vm{n:04}", "node": "n1", "cpu": 1.5, "memory": 1 << 30} for n in range(100)]


def answer(connection: socket.socket) -> None:
    connection.recv(100)
    connection.sendall(json.dumps(ROWS).encode() + b"\n")


def main() -> None:
    near, far = socket.socketpair()
    began = time.process_time()
    for _ in range(CALLS):
        thread = threading.Thread(target=answer, args=(far,))
        thread.start()
        near.sendall(b"ask")
        said = b""
        while not said.endswith(b"\n"):
            said += near.recv(65536)
        json.loads(said)
        thread.join()
    print(time.process_time() - began)


main()
