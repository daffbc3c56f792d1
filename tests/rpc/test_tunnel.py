"""Streams between two hosts: led through the daemons' TLS to where the other side allows."""

import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mcv.errors import Refused
from mcv.rpc import tunnel
from mcv.system.stream_guard import NotLetThrough
from tests.rpc.conftest import Wire


@pytest.fixture
def wire(tmp_path: Path) -> Iterator[Wire]:
    made = Wire(tmp_path, target=lambda who, asked: allowed(tmp_path, who, asked))
    yield made
    made.close()


def allowed(directory: Path, who: str, asked: dict[str, str]) -> tunnel.Granted:
    path = directory / "there.sock"
    if (who, asked.get("for")) == ("n2", "lower case"):
        return tunnel.Granted(path, lower_case_alone)
    if (who, asked.get("for")) != ("n2", "libvirt"):
        raise Refused("Not that.")
    return tunnel.Granted(path)


def lower_case_alone(data: bytes) -> bytes:
    if data == b"!":
        raise NotLetThrough("no letter at all")
    if data != data.lower():
        raise NotLetThrough("capitals", b"no capitals")
    return data


@contextlib.contextmanager
def listening(path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen()
        yield listener


def connected(path: Path) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.settimeout(10)
    sock.connect(str(path))
    return sock


def read(sock: socket.socket) -> bytes:
    sock.settimeout(10)
    got = b""
    with contextlib.suppress(ConnectionResetError):
        while chunk := sock.recv(65536):
            got += chunk
    return got


def test_what_goes_in_on_one_side_comes_out_on_the_other(wire: Wire, tmp_path: Path) -> None:
    data = os.urandom(5 << 20)
    here, asked = tmp_path / "here.sock", {"for": "libvirt"}
    with listening(tmp_path / "there.sock") as listener:
        with tunnel.tunnel(here, "n1", asked, wire.peers().stream), connected(here) as mine:
            theirs, _ = listener.accept()

            def send() -> None:
                mine.sendall(data)
                mine.close()

            writer = threading.Thread(target=send)
            writer.start()
            assert read(theirs) == data
            writer.join()

        assert not here.exists()


def test_it_goes_both_ways_at_once(wire: Wire, tmp_path: Path) -> None:
    data = os.urandom(3 << 20)
    here = tmp_path / "here.sock"
    with (
        listening(tmp_path / "there.sock") as listener,
        tunnel.tunnel(here, "n1", {"for": "libvirt"}, wire.peers().stream),
        connected(here) as mine,
    ):
        theirs, _ = listener.accept()
        with theirs:
            for one in (mine, theirs):
                threading.Thread(target=one.sendall, args=(data,), daemon=True).start()
            got = [b"", b""]
            for number, one in enumerate((mine, theirs)):
                one.settimeout(10)
                while len(got[number]) < len(data):
                    got[number] += one.recv(65536)
        assert got == [data, data]


def test_the_end_of_the_tunnel_ends_what_it_carries(wire: Wire, tmp_path: Path) -> None:
    here = tmp_path / "here.sock"
    with listening(tmp_path / "there.sock") as listener:
        with tunnel.tunnel(here, "n1", {"for": "libvirt"}, wire.peers().stream):
            mine = connected(here)
            theirs, _ = listener.accept()

        assert read(mine) == b"" and read(theirs) == b""
        mine.close()
        theirs.close()


@pytest.mark.parametrize("asked", [{"for": "the shell"}, {}])
def test_what_the_other_side_does_not_allow_is_not_reached(
    wire: Wire, tmp_path: Path, asked: dict[str, str]
) -> None:
    here = tmp_path / "here.sock"
    with (
        listening(tmp_path / "there.sock") as listener,
        tunnel.tunnel(here, "n1", asked, wire.peers().stream),
        connected(here) as mine,
    ):
        assert read(mine) == b""
        listener.settimeout(0.05)
        with pytest.raises(TimeoutError):
            listener.accept()


def test_who_is_no_member_any_more_is_hung_up_on(wire: Wire, tmp_path: Path) -> None:
    here = tmp_path / "here.sock"
    with (
        listening(tmp_path / "there.sock") as listener,
        tunnel.tunnel(here, "n1", {"for": "libvirt"}, wire.peers().stream),
        connected(here) as mine,
    ):
        listener.accept()
        del wire.members["n2"]
        wire.server.close_untrusted()
        assert read(mine) == b""


def test_a_guard_stops_what_may_not_pass_and_says_why_to_the_sender(
    wire: Wire, tmp_path: Path
) -> None:
    here, asked = tmp_path / "here.sock", {"for": "lower case"}
    with (
        listening(tmp_path / "there.sock") as listener,
        tunnel.tunnel(here, "n1", asked, wire.peers().stream),
        connected(here) as mine,
    ):
        theirs, _ = listener.accept()
        with theirs:
            mine.sendall(b"abc")
            assert theirs.recv(3) == b"abc"
            theirs.sendall(b"ABC")
            assert mine.recv(3) == b"ABC"

            mine.sendall(b"abcDEF")

            assert mine.recv(11) == b"no capitals"
            mine.sendall(b"ghi")
            assert theirs.recv(10) == b"ghi"

            mine.sendall(b"!")

            assert read(mine) == b"" and read(theirs) == b""


def test_a_guard_answers_one_sender_so_often_and_no_more(wire: Wire, tmp_path: Path) -> None:
    here, asked = tmp_path / "here.sock", {"for": "lower case"}
    with (
        listening(tmp_path / "there.sock"),
        tunnel.tunnel(here, "n1", asked, wire.peers().stream),
        connected(here) as mine,
    ):
        for _ in range(16):
            mine.sendall(b"A")
            assert mine.recv(11) == b"no capitals"

        mine.sendall(b"A")

        assert read(mine) == b""


@pytest.mark.parametrize("said", [b"{", b"7", b"[]", b'{"for": 7}', b"\xff", b"[" * 4000])
def test_a_stream_that_does_not_say_what_it_is_for_is_refused_in_words(
    wire: Wire, caplog: pytest.LogCaptureFixture, said: bytes
) -> None:
    peers = wire.peers()
    address = peers._find("n1")

    with peers._dial("n1", address, time.monotonic() + 5, tunnel.ALPN) as secured:
        secured.sendall(said + b"\n")
        assert read(secured) == b""

    [record] = [record for record in caplog.records if record.levelname != "DEBUG"]
    assert "does not say what it is for" in record.getMessage() and record.exc_info is None
