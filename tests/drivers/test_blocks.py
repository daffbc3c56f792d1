"""The guest's bytes of disks, by the real qemu-nbd and qemu-img: both formats, holes, locks."""

import functools
import os
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from mcv.document.disks import Format
from mcv.drivers.blocks import Blocks, done_of
from mcv.drivers.nbd import Extent, Nbd
from mcv.errors import CommandFailed
from mcv.storage.pieces import PIECE, digest, digests
from mcv.system.process import run

SIZE = 8 * PIECE


@pytest.fixture
def blocks() -> Iterator[Blocks]:
    yield Blocks()


def made(path: Path, format: Format, size: int = SIZE) -> str:
    run("qemu-img", "create", "-q", "-f", format, str(path), str(size))
    return str(path)


def written(blocks: Blocks, path: str, format: Format, data: dict[int, bytes]) -> None:
    socket = Path(f"{path}.sock")
    server = blocks.serve(path, format, socket, writable=True)
    with blocks.connect(socket) as nbd:
        for offset, piece in data.items():
            nbd.write(offset, piece)
        nbd.flush()
    server.end()


def read(blocks: Blocks, path: str, format: Format) -> list[str]:
    server = blocks.serve(path, format, Path(f"{path}.sock"), writable=False)
    try:
        with blocks.connect(server.socket) as nbd:
            return digests(nbd, 0, nbd.size).pieces
    finally:
        server.end()


@pytest.mark.parametrize(("source", "target"), [("raw", "qcow2"), ("qcow2", "raw")])
def test_a_copy_has_every_byte_and_its_holes(
    blocks: Blocks, tmp_path: Path, source: Format, target: Format
) -> None:
    data = {PIECE: os.urandom(PIECE), 5 * PIECE + 4096: b"x" * 512}
    old, new = made(tmp_path / "old", source), made(tmp_path / "new", target)
    written(blocks, old, source, data)
    told: list[float] = []

    server = blocks.serve(new, target, tmp_path / "way", writable=True)
    blocks.convert(old, source, tmp_path / "way", told.append)
    server.end()

    pieces = read(blocks, new, target)
    assert pieces == read(blocks, old, source)
    assert pieces[1] == digest(data[PIECE]) and pieces[5] and not any(pieces[6:])
    assert told[-1] == 1.0
    assert os.stat(new).st_blocks * 512 < 3 * PIECE


def test_zeros_are_told_and_written_as_holes(blocks: Blocks, tmp_path: Path) -> None:
    path = made(tmp_path / "disk", "raw")
    written(blocks, path, "raw", {0: os.urandom(2 * PIECE)})

    server = blocks.serve(path, "raw", tmp_path / "way", writable=True)
    with blocks.connect(server.socket) as nbd:
        assert nbd.size == SIZE
        nbd.zero(0, PIECE)
        assert nbd.read(0, PIECE).count(0) == PIECE
        assert nbd.extents(0, SIZE)[:2] == [Extent(PIECE, True), Extent(PIECE, False)]
    server.end()

    assert os.stat(path).st_blocks * 512 <= PIECE


def test_a_served_volume_has_one_writer(blocks: Blocks, tmp_path: Path) -> None:
    path = made(tmp_path / "disk", "qcow2")
    server = blocks.serve(path, "qcow2", tmp_path / "first", writable=True)

    with pytest.raises(CommandFailed, match="is it in use"):
        blocks.serve(path, "qcow2", tmp_path / "second", writable=True)
    server.end()
    blocks.serve(path, "qcow2", tmp_path / "second", writable=True).end()


def test_a_server_is_read_only_where_nobody_may_write(blocks: Blocks, tmp_path: Path) -> None:
    path = made(tmp_path / "disk", "raw")
    server = blocks.serve(path, "raw", tmp_path / "way", writable=False)

    with blocks.connect(server.socket) as nbd, pytest.raises(CommandFailed, match="error 22"):
        nbd.write(0, b"x" * 512)
    server.end()


def test_a_server_that_is_ended_hangs_up(blocks: Blocks, tmp_path: Path) -> None:
    path = made(tmp_path / "disk", "raw")
    server = blocks.serve(path, "raw", tmp_path / "way", writable=True)

    with blocks.connect(server.socket) as nbd:
        server.end()
        server.end()
        with pytest.raises(CommandFailed, match=r"hung up|NBD"):
            nbd.read(0, 512)
    assert not server.socket.exists()


def test_the_end_of_a_server_leaves_a_later_one_of_its_socket_alone(
    blocks: Blocks, tmp_path: Path
) -> None:
    path = made(tmp_path / "disk", "raw")
    first = blocks.serve(path, "raw", tmp_path / "way", writable=True)
    first.end()
    second = blocks.serve(path, "raw", tmp_path / "way", writable=True)

    first.end()

    with blocks.connect(second.socket) as nbd:
        assert nbd.size == SIZE
    second.end()


def test_a_copy_to_a_smaller_disk_fails_in_qemu_s_words(blocks: Blocks, tmp_path: Path) -> None:
    old, new = made(tmp_path / "old", "raw"), made(tmp_path / "new", "raw", PIECE)
    server = blocks.serve(new, "raw", tmp_path / "way", writable=True)

    with pytest.raises(CommandFailed, match="smaller"):
        blocks.convert(old, "raw", tmp_path / "way", lambda part: None)
    server.end()


def test_a_copy_that_is_not_wanted_any_more_ends(blocks: Blocks, tmp_path: Path) -> None:
    old, new = made(tmp_path / "old", "raw"), made(tmp_path / "new", "raw")
    server = blocks.serve(new, "raw", tmp_path / "way", writable=True)

    def cancel(part: float) -> None:
        raise KeyboardInterrupt

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        blocks.convert(old, "raw", tmp_path / "way", cancel)
    server.end()
    assert time.monotonic() - began < 10


def test_what_is_no_nbd_server_is_told(blocks: Blocks, tmp_path: Path) -> None:
    with (
        pytest.raises(CommandFailed, match=r"NBD: .*No such file"),
        blocks.connect(tmp_path / "no"),
    ):
        pass


def test_the_part_that_is_done_is_read_from_qemu_img_s_line() -> None:
    assert done_of("    (2.50/100%)\r    (12.50/100%)\r") == 0.125
    assert done_of("qemu-img: a word\n") is None


def test_a_read_into_memory_that_is_kept_leaves_nothing_of_before(
    blocks: Blocks, tmp_path: Path
) -> None:
    path = made(tmp_path / "disk", "qcow2")
    written(blocks, path, "qcow2", {PIECE + 65536: b"x" * 65536})
    memory = bytearray(b"y" * PIECE)

    server = blocks.serve(path, "qcow2", tmp_path / "way", writable=False)
    with blocks.connect(server.socket) as nbd:
        nbd.read_into(PIECE, memoryview(memory))
    server.end()

    assert memory == (bytes(65536) + b"x" * 65536).ljust(PIECE, b"\0")


GREETING = b"NBDMAGICIHAVEOPT\0\x03"
REPLY = struct.Struct(">QIII")
CHUNK = struct.Struct(">IHHQI")


def answering(sock: socket.socket, chunks: list[tuple[int, bytes]]) -> None:
    """A server of 4096 bytes that answers the first read with these chunks."""
    reply = functools.partial(REPLY.pack, 0x3E889045565A9)
    sock.sendall(GREETING)
    sock.recv(4, socket.MSG_WAITALL)
    for option, length in ((8, 0), (10, 27), (7, 6)):
        sock.recv(16 + length, socket.MSG_WAITALL)
        if option == 7:
            sock.sendall(reply(7, 3, 12) + struct.pack(">HQH", 0, 4096, 0))
        sock.sendall(reply(option, 1, 0))
    handle = struct.unpack(">IHHQQI", sock.recv(28, socket.MSG_WAITALL))[3]
    for number, (kind, payload) in enumerate(chunks, 1):
        sock.sendall(CHUNK.pack(0x668E33EF, number == len(chunks), kind, handle, len(payload)))
        sock.sendall(payload)


@pytest.mark.parametrize(
    ("story", "chunks", "problem"),
    [
        ("only a part", [(1, bytes(8) + b"x" * 512)], "left bytes out"),
        ("before", [(1, (9).to_bytes(8) + b"x" * 4096)], "nobody asked for"),
        ("too long", [(2, struct.pack(">QI", 0, 4097))], "nobody asked for"),
        ("no offset", [(1, b"xxxx")], "hung up"),
        ("nothing", [(0, b"")], "left bytes out"),
    ],
)
def test_an_answer_that_is_not_what_was_asked_for_is_an_error(
    story: str, chunks: list[tuple[int, bytes]], problem: str
) -> None:
    ours, theirs = socket.socketpair()

    def serve() -> None:
        with theirs:
            answering(theirs, chunks)

    serving = threading.Thread(target=serve)
    serving.start()
    with closing(Nbd(ours)) as nbd, pytest.raises(CommandFailed, match=problem):
        nbd.read(0, 4096)
    serving.join()
