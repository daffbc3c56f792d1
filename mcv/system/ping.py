"""Whether anything answers at an address: a ping, a connection, a refusal."""

import os
import socket
import struct
import time


def answers(address: str, port: int, timeout: float) -> bool:
    """Whether a TCP connection is accepted or refused: in both cases a host is there."""
    try:
        with socket.create_connection((address, port), timeout=timeout):
            return True
    except ConnectionRefusedError:
        return True
    except OSError:
        return False


def pings(address: str, timeout: float) -> bool:
    """Whether a host answers to an ICMP echo request (RFC 792); IPv4, and root alone."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as sock:
            mark = os.getpid() & 0xFFFF
            sock.sendto(_echo_request(mark), (address, 0))
            until = time.monotonic() + timeout
            while (left := until - time.monotonic()) > 0:
                sock.settimeout(left)
                packet, (sender, _) = sock.recvfrom(1024)
                header = (packet[0] & 0x0F) * 4
                kind, _, _, answered = struct.unpack("!BBHH", packet[header : header + 6])
                if kind == 0 and answered == mark and sender == address:
                    return True
    except OSError:
        return False
    return False


def _echo_request(mark: int) -> bytes:
    head = struct.pack("!BBHHH", 8, 0, 0, mark, 1)
    total = sum(struct.unpack("!4H", head))
    total = (total >> 16) + (total & 0xFFFF)
    return struct.pack("!BBHHH", 8, 0, ~total & 0xFFFF, mark, 1)
