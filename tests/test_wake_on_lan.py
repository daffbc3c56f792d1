"""What boots the lab's nodes by a magic packet, without a lab."""

import sys
import time

import pytest

from mcv.system import cards
from tests.fakes.power import Switch
from tests.lab.magic_ears import mac_in
from tests.lab.wake_on_lan import WakeOnLan

MAC, OTHER = "52:54:00:10:99:03", "52:54:00:10:99:02"
EVERYBODY = b"\xff" * 6 + bytes.fromhex("525400109901") + b"\x08\x00"
IP_AND_UDP = bytes(28)


@pytest.mark.parametrize("mac", [MAC, "ff:ff:ff:00:00:01"])
@pytest.mark.parametrize("before", [b"", IP_AND_UDP, b"\xff\xff" + IP_AND_UDP])
def test_a_magic_packet_is_heard_wherever_it_is_in_a_frame(mac: str, before: bytes) -> None:
    assert mac_in(EVERYBODY + before + cards.magic(mac) + b"behind it") == mac


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        EVERYBODY,
        EVERYBODY + IP_AND_UDP + b"\xff" * 8,
        EVERYBODY + IP_AND_UDP + cards.magic(MAC)[:-1],
        EVERYBODY + IP_AND_UDP + cards.magic(MAC).replace(b"\xff" * 6, b"\xfe" * 6),
    ],
    ids=["empty", "no payload", "ones alone", "cut off", "no ones"],
)
def test_what_is_no_magic_packet_wakes_nobody(frame: bytes) -> None:
    assert mac_in(frame) == ""


def ears(*macs: str) -> list[str]:
    """A program that hears packets for these cards."""
    lines = "\\n".join(("listens", *macs))
    return [sys.executable, "-c", f"import time; print('{lines}', flush=True); time.sleep(60)"]


def test_the_machine_with_that_card_is_booted_if_it_is_off() -> None:
    asleep, awake = Switch(on=False), Switch()
    machines = {MAC: asleep, OTHER: awake}

    with WakeOnLan(machines, ears=ears(MAC, MAC, OTHER, "02:00:00:00:00:01")) as lan:
        until = time.monotonic() + 10
        while len(lan.heard) < 4 and time.monotonic() < until:
            time.sleep(0.01)

    assert lan.heard == [MAC, MAC, OTHER, "02:00:00:00:00:01"]
    assert asleep.switched == ["on"] and awake.switched == []
