#!/usr/bin/python3
"""Listens on a device for magic packets, and prints the MAC of each: a line each."""

import socket
import sys

ONES = b"\xff" * 6
HEAD = 14  # bytes of Ethernet's own; a broadcast begins with six bytes of ones
ALL = 0x0003


def mac_in(frame: bytes) -> str:
    """The MAC of a magic packet that is anywhere in a frame; "" for none."""
    at = frame.find(ONES, HEAD)
    while at >= 0:
        mac = frame[at + 6 : at + 12]
        if len(mac) == 6 and frame[at + 6 : at + 102] == mac * 16:
            return mac.hex(":")
        at = frame.find(ONES, at + 1)
    return ""


def main(device: str) -> None:
    """Listen until whoever started this kills it."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ALL)) as ear:
        ear.bind((device, 0))
        print("listens", flush=True)
        while True:
            if mac := mac_in(ear.recv(2048)):
                print(mac, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
