"""Runs on a node: says who has an address, who announces it, and when it answers, a line each.

Usage: arps.py DEVICE ADDRESS. A line begins with a time of this node's in seconds:

TIME held MAC...     the hosts that answered one question by ARP, none where nobody did
TIME announced MAC   a gratuitous ARP
TIME answered        the address answered a ping, which went where this node's cache of ARP says

The questions are those of `arping -D`, from a sender without an address and with a MAC that is
nobody's: so neither this node's cache nor another's learns anything by them.
"""

import contextlib
import os
import select
import socket
import struct
import sys
import time

TICK = 0.1  # s from a ping to the next; there is a question in every second tick
ARP, IP = 0x0806, 0x0800
REQUEST, REPLY = 1, 2
EVERYBODY, NOBODY = b"\xff" * 6, bytes.fromhex("02005e005301")
NO_ADDRESS = bytes(4)
HEAD = struct.pack("!HHBB", 1, IP, 6, 4)
ADD_MEMBERSHIP, PROMISCUOUS = 1, 1  # linux/if_packet.h
ECHO, ECHO_REPLY = 8, 0


def question(address: bytes) -> bytes:
    """A frame that asks who has an address."""
    body = HEAD + struct.pack("!H", REQUEST) + NOBODY + NO_ADDRESS + bytes(6) + address
    return EVERYBODY + NOBODY + struct.pack("!H", ARP) + body


def heard(frame: bytes, address: bytes) -> tuple[str, str]:
    """What a frame says of the address, and whose MAC it names: "held" or "announced"; or ""."""
    if len(frame) < 42 or frame[12:14] != struct.pack("!H", ARP) or frame[14:20] != HEAD:
        return "", ""
    kind, mac, sender, target = struct.unpack("!H6s4s6x4s", frame[20:42])
    if sender != address:
        return "", ""
    if target == address:
        return "announced", mac.hex(":")
    return ("held", mac.hex(":")) if kind == REPLY else ("", "")


def ping(number: int) -> bytes:
    """An echo request of this process."""
    head = struct.pack("!BBHHH", ECHO, 0, 0, os.getpid() & 0xFFFF, number & 0xFFFF)
    total = sum(struct.unpack("!4H", head))
    total = (total & 0xFFFF) + (total >> 16)
    return head[:2] + struct.pack("!H", ~total & 0xFFFF) + head[4:]


def is_answer(packet: bytes, address: bytes) -> bool:
    """Whether an IP packet is the address's answer to a ping of this process."""
    body = packet[(packet[0] & 15) * 4 :]
    mine = struct.pack("!H", os.getpid() & 0xFFFF)
    return packet[12:16] == address and body[:1] == bytes([ECHO_REPLY]) and body[4:6] == mine


def say(*words: str) -> None:
    print(f"{time.monotonic():.3f}", *words, flush=True)


def main(device: str, text: str) -> None:
    address = socket.inet_aton(text)
    arp = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ARP))
    arp.bind((device, ARP))
    # The answers go to a MAC that is not this node's.
    member = struct.pack("iHH8s", socket.if_nametoindex(device), PROMISCUOUS, 0, bytes(8))
    arp.setsockopt(263, ADD_MEMBERSHIP, member)
    icmp = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    holders: set[str] = set()
    number, due = 0, time.monotonic()
    while True:
        if (left := due - time.monotonic()) > 0:
            for ready in select.select([arp, icmp], [], [], left)[0]:
                packet = ready.recv(2048)
                if ready is icmp:
                    if is_answer(packet, address):
                        say("answered")
                    continue
                what, mac = heard(packet, address)
                if what == "held":
                    holders.add(mac)
                elif what:
                    say(what, mac)
            continue
        number, due = number + 1, max(due + TICK, time.monotonic())
        with contextlib.suppress(OSError):  # nobody has the address, or the device is down
            icmp.sendto(ping(number), (text, 0))
        if number % 2:
            if number > 1:
                say("held", *sorted(holders))
            holders.clear()
            arp.send(question(address))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
