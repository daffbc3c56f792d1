"""A descriptor that systemd keeps while a service is started again (sd_notify(3), FDSTORE).

systemd's copy is of the same open file: while it is there, nothing is closed when the service's
process ends, and nothing is opened when the next one begins.
"""

import array
import os
import select
import socket

SOCKET = "NOTIFY_SOCKET"
FIRST = 3  # SD_LISTEN_FDS_START


def kept(name: str) -> int | None:
    """The descriptor of this name that systemd has handed over, None where there is none.

    To be asked once: the environment is cleared of it, so that no child takes it for its own.
    """
    process = os.environ.pop("LISTEN_PID", "")
    number = os.environ.pop("LISTEN_FDS", "")
    names = os.environ.pop("LISTEN_FDNAMES", "").split(":")
    if process != str(os.getpid()) or not number.isdecimal():
        return None
    found = None
    for fd, each in zip(range(FIRST, FIRST + int(number)), names, strict=False):
        os.set_inheritable(fd, False)
        if each == name and found is None:
            found = fd
        else:
            os.close(fd)
    return found


def keep(name: str, fd: int, patience: float) -> bool:
    """Have systemd keep the descriptor; whether it does within `patience` seconds.

    Without systemd nobody keeps it: False.
    """
    return _notify(f"FDSTORE=1\nFDNAME={name}\nFDPOLL=0", fd) and _has_heard(patience)


def forget(name: str, patience: float) -> bool:
    """Have systemd close its copy; whether it has none, within `patience` seconds."""
    if not os.environ.get(SOCKET):
        return True
    return _notify(f"FDSTOREREMOVE=1\nFDNAME={name}") and _has_heard(patience)


def _has_heard(patience: float) -> bool:
    """Whether systemd has taken up all messages before this one: it closes what came with it."""
    reading, writing = os.pipe2(os.O_CLOEXEC)
    try:
        try:
            is_sent = _notify("BARRIER=1", writing)
        finally:
            os.close(writing)
        closed = select.poll()
        closed.register(reading, select.POLLHUP)
        return is_sent and bool(closed.poll(patience * 1000))
    finally:
        os.close(reading)


def _notify(text: str, *fds: int) -> bool:
    """Send a message to systemd; whether it was sent. Does not wait where its queue is full."""
    address = os.environ.get(SOCKET)
    if not address:
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        try:
            sock.connect(address)
            sock.sendmsg([text.encode()], rights)
        except OSError:
            return False
    return True
