"""Runs on a node: whether frames of a bridge for a VLAN bear its tag on the bridge below.

Two taps stand for the wire, which is a port of the bridge below, and for a guest's card.
"""

import fcntl
import json
import os
import select
import struct
import subprocess
import sys
import time

TUNSETIFF = 0x400454CA
IFF_TAP, IFF_NO_PI = 0x0002, 0x1000
EVERYBODY, SENDER = b"\xff" * 6, bytes.fromhex("0200005e5e01")
EXPERIMENTAL, TAGGED = 0x88B5, 0x8100
PATIENCE = 2.0  # s that a frame has to arrive


def tap(name: str, bridge: str) -> int:
    """A tap that is a port of a bridge; it goes with this process."""
    device = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI))
    subprocess.run(["ip", "link", "set", "dev", name, "master", bridge], check=True)
    subprocess.run(["ip", "link", "set", "dev", name, "up"], check=True)
    return device


def send(device: int, text: str, vlan: int = 0) -> None:
    tag = struct.pack("!HH", TAGGED, vlan) if vlan else b""
    head = EVERYBODY + SENDER + tag + struct.pack("!H", EXPERIMENTAL)
    os.write(device, head + text.encode().ljust(46, b"."))


def arrived(device: int) -> list[list[str | int]]:
    """What of ours arrives within the time: [text, tag] each, tag 0 for a plain frame."""
    found: list[list[str | int]] = []
    until = time.monotonic() + PATIENCE
    while (left := until - time.monotonic()) > 0 and select.select([device], [], [], left)[0]:
        frame = os.read(device, 2048)
        kind, tag = struct.unpack("!HH", frame[12:16])
        plain = frame[12:] if kind != TAGGED else frame[16:]
        if frame[6:12] == SENDER and struct.unpack("!H", plain[:2]) == (EXPERIMENTAL,):
            text = plain[2:].decode().rstrip(".")
            found.append([text, tag & 0xFFF if kind == TAGGED else 0])
    return found


def main(below: str, tagged: str, vlan: int) -> None:
    wire, guest = tap("lab-wire", below), tap("lab-guest", tagged)
    send(guest, "out")
    out = arrived(wire)
    send(wire, "in", vlan)
    send(wire, "plain")
    send(wire, "other", vlan + 1)
    print(json.dumps({"out": out, "in": arrived(guest)}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
