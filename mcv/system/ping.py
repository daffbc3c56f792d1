"""Whether anything answers at an address: a ping, a connection, a refusal."""

import os
import socket
import struct
import time

REQUEST, REPLY = 8, 0
REQUEST_6, REPLY_6 = 128, 129


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
    """Whether a host answers to an ICMP echo request (RFC 792, RFC 4443); root alone."""
    six = ":" in address
    family, protocol = (
        (socket.AF_INET6, socket.IPPROTO_ICMPV6) if six else (socket.AF_INET, socket.IPPROTO_ICMP)
    )
    try:
        with socket.socket(family, socket.SOCK_RAW, protocol) as sock:
            mark = os.getpid() & 0xFFFF
            sock.sendto(_echo_request(mark, REQUEST_6 if six else REQUEST), (address, 0))
            until = time.monotonic() + timeout
            while (left := until - time.monotonic()) > 0:
                sock.settimeout(left)
                packet, (sender, *_) = sock.recvfrom(1024)
                # The kernel hands out IPv4 packets with their header, IPv6 packets without.
                header = 0 if six else (packet[0] & 0x0F) * 4
                kind, _, _, answered = struct.unpack("!BBHH", packet[header : header + 6])
                if kind == (REPLY_6 if six else REPLY) and answered == mark and sender == address:
                    return True
    except (OSError, struct.error):
        return False
    return False


def _echo_request(mark: int, kind: int) -> bytes:
    """An echo request; over the checksum of an ICMPv6 packet the kernel writes its own."""
    head = struct.pack("!BBHHH", kind, 0, 0, mark, 1)
    total = sum(struct.unpack("!4H", head))
    total = (total >> 16) + (total & 0xFFFF)
    return struct.pack("!BBHHH", kind, 0, ~total & 0xFFFF, mark, 1)
