"""A word to systemd: this service answers now."""

import os
import socket


def ready(status: str) -> None:
    """Tell systemd that the service is up (sd_notify(3)); nothing where none listens."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.connect(address)
        sock.send(f"READY=1\nSTATUS={status}\n".encode())
