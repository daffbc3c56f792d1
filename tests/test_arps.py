"""What the lab's third machine says of an address, and what is made of it."""

import socket
import struct
import subprocess
import sys
from typing import cast

import pytest

from tests.lab import Node, address_watch, arps
from tests.lab.address_watch import Said, Taken, read, takings, twice

ADDRESS, OTHER = socket.inet_aton("192.0.2.80"), socket.inet_aton("192.0.2.1")
MAC = bytes.fromhex("525400109902")
REQUEST, REPLY = 1, 2


def frame(kind: int, sender: bytes, target: bytes, mac: bytes = MAC) -> bytes:
    body = struct.pack("!HHBBH", 1, 0x0800, 6, 4, kind) + mac + sender + bytes(6) + target
    return b"\xff" * 6 + mac + b"\x08\x06" + body


@pytest.mark.parametrize(
    ("story", "packet", "what"),
    [
        ("who has it answers a question", frame(REPLY, ADDRESS, bytes(4)), "held"),
        ("it is announced by a request", frame(REQUEST, ADDRESS, ADDRESS), "announced"),
        ("and by a reply", frame(REPLY, ADDRESS, ADDRESS), "announced"),
        ("its host asks for another address", frame(REQUEST, ADDRESS, OTHER), ""),
        ("another host answers", frame(REPLY, OTHER, bytes(4)), ""),
        ("a question of its own", arps.question(ADDRESS), ""),
        ("a frame that is cut off", frame(REPLY, ADDRESS, bytes(4))[:40], ""),
    ],
)
def test_a_frame_says_who_has_the_address(story: str, packet: bytes, what: str) -> None:
    assert arps.heard(packet, ADDRESS) == (what, MAC.hex(":") if what else ""), story


def test_a_question_gives_no_cache_anything_to_learn() -> None:
    asked = arps.question(ADDRESS)

    assert asked[28:32] == bytes(4) and asked[38:] == ADDRESS
    assert asked[22:28] == asked[6:12] == arps.NOBODY


def test_a_ping_has_the_checksum_of_the_protocol_and_its_answer_is_known() -> None:
    asked = arps.ping(70000)
    total = sum(struct.unpack("!4H", asked))
    assert (total & 0xFFFF) + (total >> 16) == 0xFFFF

    head = bytes([0x45]) + bytes(11) + ADDRESS + OTHER
    assert arps.is_answer(head + b"\0" + asked[1:], ADDRESS)
    assert not arps.is_answer(head + asked, ADDRESS)
    assert not arps.is_answer(head + b"\0" + asked[1:], OTHER)


def test_the_program_needs_nothing_but_python() -> None:
    loads = f"import runpy; runpy.run_path({str(arps.__file__)!r})"
    subprocess.run([sys.executable, "-I", "-S", "-c", loads], check=True)


NAMES = {"52:54:00:10:99:01": "node1", "52:54:00:10:99:02": "node2"}


def said(*lines: str) -> list[Said]:
    return [read(line, NAMES) for line in lines]


def test_hosts_are_told_by_their_macs() -> None:
    [held, nobody] = said(
        "7.250 held 52:54:00:10:99:02 52:54:00:10:99:01 0e:00:00:00:00:01", "7.3 held"
    )

    assert held == Said(7.25, "held", ("0e:00:00:00:00:01", "node1", "node2"))
    assert nobody == Said(7.3, "held")


def test_two_that_answer_one_question_are_two_holders() -> None:
    one, two = "held 52:54:00:10:99:01", "held 52:54:00:10:99:02"

    assert twice(said(f"1.0 {one}", "1.2 held", f"1.4 {two}")) == []
    both = said(f"1.0 {one} 52:54:00:10:99:02")
    assert twice([*said(f"0.8 {one}"), *both]) == both


def test_how_soon_the_address_answers_is_counted_from_the_first_announcement() -> None:
    one, two = "announced 52:54:00:10:99:01", "announced 52:54:00:10:99:02"
    heard = said(
        f"1.0 {one}", "1.1 answered", f"2.0 {one}", f"9.0 {two}", f"9.5 {two}", "9.9 answered"
    )

    assert takings(heard) == [Taken("node1", 1.0, 0.1), Taken("node2", 9.0, 0.9)]
    assert takings(heard[:-1])[-1] == Taken("node2", 9.0, None)


def test_a_program_that_has_failed_is_no_silence() -> None:
    class Failing:
        name = "node4"

        def put(self, *_: object) -> None: ...

        def start(self, _: str) -> "subprocess.Popen[str]":
            pipe = subprocess.PIPE
            process = subprocess.Popen(
                ["sh", "-c", "echo no such device >&2"], stdout=pipe, stderr=pipe, text=True
            )
            process.wait()
            return process

    node = cast(Node, Failing())
    watch = address_watch.AddressWatch(node, "br0", "192.0.2.80", hosts=[])
    with watch, pytest.raises(AssertionError, match="failed on node4: no such device"):
        watch.holders()
