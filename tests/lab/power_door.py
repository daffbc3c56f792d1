#!/usr/bin/python3
"""Listens where the nodes reach it, and asks whoever started it: a line each way for a request.

NUMBER JSON   on standard output: a request
NUMBER JSON   on standard input: its answer
"""

import socketserver
import sys
import threading

answers: dict[int, str] = {}
changed = threading.Condition()
numbers = iter(range(1, 10**9))


class Request(socketserver.StreamRequestHandler):
    """A connection of an agent: one line, and its answer when there is one."""

    def handle(self) -> None:
        text = self.rfile.readline().decode().strip()
        with changed:
            number = next(numbers)
            print(number, text, flush=True)
            changed.wait_for(lambda: number in answers)
            self.wfile.write(f"{answers.pop(number)}\n".encode())


class Door(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


def main() -> None:
    """Serve until standard input ends."""
    with Door((sys.argv[1], int(sys.argv[2])), Request) as door:
        threading.Thread(target=door.serve_forever, daemon=True).start()
        print(0, door.server_address[1], flush=True)
        for text in sys.stdin:
            number, _, answer = text.strip().partition(" ")
            with changed:
                answers[int(number)] = answer
                changed.notify_all()


if __name__ == "__main__":
    main()
