"""The filter before libvirt: a recorded migration passes, and nothing that differs from one."""

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mcv.drivers import libvirt_rpc
from mcv.drivers.libvirt_rpc import HEADER, Arrival, ArrivalFilter
from mcv.system.stream_guard import NotLetThrough

# What a source's libvirt 9.0 sent to a destination's in the lab, and the destination's own
# `virsh dumpxml --inactive web1`.
RECORDED = Path(__file__).parent / "recorded"
XML = (RECORDED / "definition.xml").read_text()
UUID = "72f40895-452d-40c7-91fb-cdb5da2d2e18"
MEMORY = "unix:///run/libvirt/mcv/mcv.tunnelmigrate.dest.web1"


def arrival_filter(xml: str = XML) -> ArrivalFilter:
    return ArrivalFilter(Arrival(name="web1", uuid=UUID, xml=xml, memory=MEMORY))


def messages(name: str = "migration") -> list[bytes]:
    data, split = (RECORDED / f"{name}.bin").read_bytes(), []
    while data:
        length = int.from_bytes(data[:4], "big")
        split.append(data[:length])
        data = data[length:]
    return split


def of(procedure: int) -> bytes:
    return next(one for one in messages() if procedure_of(one) == procedure)


def procedure_of(message: bytes) -> int:
    return int(HEADER.unpack_from(message)[3])


def replaced(message: bytes, old: bytes, new: bytes) -> bytes:
    """A message with a text replaced and its lengths put right: XDR strings of four, padded."""
    assert old in message
    if len(old) == len(new):
        return message.replace(old, new)
    body, parts, at = message[HEADER.size :], b"", 0
    place = body.index(old)
    # The string that holds the place: its length stands before it.
    for start in range(place & ~3, 3, -4):
        length = int.from_bytes(body[start - 4 : start], "big")
        if place + len(old) - start <= length < len(body):
            text = body[start : start + length].replace(old, new)
            parts = body[: start - 4] + len(text).to_bytes(4, "big") + text
            parts += b"\0" * (-len(text) % 4)
            at = start + length + (-length % 4)
            break
    return framed(message, parts + body[at:])


def framed(message: bytes, body: bytes) -> bytes:
    """A message with another body, and the length that it has then."""
    return (HEADER.size + len(body)).to_bytes(4, "big") + message[4 : HEADER.size] + body


@pytest.mark.parametrize("name", ["migration", "cancelled_migration"])
@pytest.mark.parametrize("size", [1, 100, 1 << 20])
def test_a_recorded_migration_passes_in_whatever_pieces_it_comes(name: str, size: int) -> None:
    data, passes = (RECORDED / f"{name}.bin").read_bytes(), arrival_filter()

    passed = [passes(data[at : at + size]) for at in range(0, len(data), size)]

    assert b"".join(passed) == data


def test_a_message_passes_when_it_is_whole() -> None:
    passes, message = arrival_filter(), of(libvirt_rpc.PREPARE)

    assert passes(message[:-1]) == b""
    assert passes(message[-1:]) == message


def test_every_procedure_that_a_migration_does_not_need_is_stopped() -> None:
    needed = {procedure_of(one) for one in messages()}

    for procedure in set(range(1, 600)) - needed:
        call = HEADER.pack(HEADER.size, 0x20008086, 1, procedure, 0, 7, 0)
        with pytest.raises(NotLetThrough, match="is no part of a migration"):
            arrival_filter()(call)


@pytest.mark.parametrize(
    ("story", "at", "value"),
    [
        ("the QEMU monitor's program", 4, 0x20008087),
        ("another version", 8, 2),
        ("a stream", 16, 3),
        ("a call with descriptors", 16, 4),
        ("a failure", 24, 1),
        ("a length below the header's", 0, 27),
        ("a message of a gigabyte", 0, 1 << 30),
    ],
)
def test_a_header_of_another_form_is_stopped(story: str, at: int, value: int) -> None:
    message = bytearray(of(libvirt_rpc.SUPPORTS))
    struct.pack_into(">I", message, at, value)

    with pytest.raises(NotLetThrough):
        arrival_filter()(bytes(message))


PREPARE, FINISH, OPEN = libvirt_rpc.PREPARE, libvirt_rpc.FINISH, libvirt_rpc.OPEN


@pytest.mark.parametrize(
    ("procedure", "old", "new"),
    [
        (OPEN, b"qemu:///system", b"lxc:///system"),
        (PREPARE, b"<name>web1</name>", b"<name>web2</name>"),
        (PREPARE, UUID.encode(), b"72f40895-452d-40c7-91fb-cdb5da2d2e19"),
        (PREPARE, b"/dev/drbd100", b"/dev/drbd101"),
        (PREPARE, b"type='block'", b"type='file'"),
        (PREPARE, b"dev='/dev/drbd100'", b"file='/etc/shadow'"),
        (PREPARE, b"type='raw' cache", b"type='qcow2' cache"),
        (PREPARE, b"br-lan", b"br-mgmt"),
        (PREPARE, b"/usr/bin/qemu-system-x86_64", b"/var/tmp/evil"),
        (PREPARE, b"/dev/urandom", b"/dev/sda"),
        (PREPARE, b"127.0.0.1", b"0.0.0.0"),
        (PREPARE, b"<serial type='pty'>", b"<serial type='file'><source path='/etc/cron.d/x'/>"),
        (PREPARE, b"<backingStore/>", b"<backingStore><source file='/etc/shadow'/></backingStore>"),
        (PREPARE, b"<devices>", b"<devices><filesystem><source dir='/'/></filesystem>"),
        (PREPARE, b"<devices>", b"<devices><hostdev mode='subsystem' type='pci'/>"),
        (PREPARE, b"<devices>", b"<devices><disk type='file'><source file='/etc/shadow'/></disk>"),
        (PREPARE, b"machine='pc-i440fx-7.2'", b"machine='pc,firmware=/etc/shadow'"),
        (PREPARE, b">hvm</type>", b">hvm</type><kernel>/etc/shadow</kernel>"),
        (
            PREPARE,
            b"<clock",
            b"<commandline xmlns='http://libvirt.org/schemas/domain/qemu/1.0'/><clock",
        ),
        (PREPARE, b"<mcv:vm/>", b"<mcv:vm/><other xmlns='urn:else'/>"),
        (PREPARE, b"type='dynamic' model='apparmor'", b"type='none' model='apparmor'"),
        (PREPARE, b"relabel='yes'/>", b"relabel='yes'><baselabel>x</baselabel></seclabel>"),
        (PREPARE, b"<partition>/machine<", b"<partition>/system.slice<"),
        (PREPARE, b"check='none'>", b"check='none'><numa/>"),
        (PREPARE, b"qemu64</model>\n  </cpu>\n  <clock", b"a,b=c</model>\n  </cpu>\n  <clock"),
        (PREPARE, b"<domain type='qemu'>", b"<!DOCTYPE domain><domain type='qemu'>"),
        (PREPARE, b"<domain type='qemu'>", b"<?xml version='1.0' encoding='utf-7'?><domain>"),
        (PREPARE, b"<domain type='qemu'>", b"<domain type='kvm'>"),
        (PREPARE, b"</domain>", b"</domain>\0<domain/>"),
        (PREPARE, b"mcv.tunnelmigrate.dest.web1", b"../../../var/tmp/x"),
        (PREPARE, b"destination_xml", b"persistent_xml"),
        (PREPARE, b"<hostname>", b"<persistent><domain/></persistent><hostname>"),
        (PREPARE, b"<hostname>", b"<nbd port='1'/><hostname>"),
        (PREPARE, b"<hostname>", b"<name>web2</name><hostname>"),
        (FINISH, b"<statistics>", b"<domain/><statistics>"),
        (FINISH, b"<statistics>", b"<statistics><a><b/></a>"),
        (FINISH, b"<started>1", b"<started>x"),
        (FINISH, b"\0\0\0\x04web1", b"\0\0\0\x04web2"),
    ],
)
def test_a_migration_of_anything_else_is_stopped_and_its_source_told(
    procedure: int, old: bytes, new: bytes
) -> None:
    lie = replaced(of(procedure), old, new)
    passes = arrival_filter()

    with pytest.raises(NotLetThrough) as stopped:
        passes(lie)

    length, program, _, told, kind, serial, status = HEADER.unpack_from(stopped.value.answer)
    assert (length, told) == (len(stopped.value.answer), procedure)
    assert (program, kind, status, serial) == (0x20008086, 1, 1, HEADER.unpack_from(lie)[5])
    assert b"does not let it through" in stopped.value.answer


@pytest.mark.parametrize("procedure", [PREPARE, FINISH])
@pytest.mark.parametrize(
    ("story", "flags"), [("persistent", 0x2B), ("running", 0x3), ("tunnelled", 0x27), ("none", 0)]
)
def test_a_migration_with_other_flags_is_stopped(procedure: int, story: str, flags: int) -> None:
    message = of(procedure)
    body = message[HEADER.size :]
    end = len(body) - (4 if procedure == FINISH else 0)
    lie = framed(message, body[: end - 4] + flags.to_bytes(4, "big") + body[end:])

    with pytest.raises(NotLetThrough, match="flags"):
        arrival_filter()(lie)


@pytest.mark.parametrize("procedure", [PREPARE, FINISH])
def test_whether_the_source_judged_file_systems_is_no_matter(procedure: int) -> None:
    message = of(procedure)
    body = message[HEADER.size :]
    end = len(body) - (4 if procedure == FINISH else 0)
    said = framed(message, body[: end - 4] + (0x223).to_bytes(4, "big") + body[end:])

    assert arrival_filter()(said) == said


DISKS = "unix:///run/libvirt/mcv/mcv-disks.tunnelmigrate.dest.web1"
ALONG = ("vda", "vdc")
SIZES = "<nbd><disk target='vda' capacity='4194304'/><disk target='vdc' capacity='9'/></nbd>"
# Beside the recorded disk, vda: one that stays, and one that goes along.
MORE = "".join(f"</disk><disk type='block'><target dev='{name}'/>" for name in ("vdb", "vdc"))


def disk_filter(mirrored: tuple[str, ...] = ALONG) -> ArrivalFilter:
    xml = XML.replace("</disk>", f"{MORE}</disk>")
    return ArrivalFilter(
        Arrival(name="web1", uuid=UUID, xml=xml, memory=MEMORY, mirrored=mirrored, disks=DISKS)
    )


def text(word: str) -> bytes:
    return len(word).to_bytes(4, "big") + word.encode() + b"\0" * (-len(word) % 4)


def with_disks(
    names: tuple[str, ...] = ALONG, uri: str = DISKS, flags: int = 0x63, sizes: str = SIZES
) -> bytes:
    """The recorded preparation as it is with disks that go along."""
    message = replaced(of(PREPARE), b"<hostname>", f"{sizes}<hostname>".encode())
    message = replaced(message, b"</disk>", f"{MORE}</disk>".encode())
    body = message[HEADER.size :]
    more = [("migrate_disks", name) for name in names] + [("disks_uri", uri)] * bool(uri)
    count = int.from_bytes(body[:4], "big") + len(more)
    parameters = b"".join(text(key) + (7).to_bytes(4, "big") + text(word) for key, word in more)
    body = count.to_bytes(4, "big") + parameters + body[4:-4] + flags.to_bytes(4, "big")
    return framed(message, body)


def test_a_migration_with_the_disks_that_are_expected_passes() -> None:
    assert disk_filter()(with_disks()) == with_disks()


def test_of_a_disk_that_stays_the_size_is_told_too() -> None:
    sizes = SIZES.replace("</nbd>", "<disk target='vdb' capacity='7'/></nbd>")
    assert disk_filter()(with_disks(sizes=sizes)) == with_disks(sizes=sizes)


@pytest.mark.parametrize(
    ("story", "message"),
    [
        ("one disk more", with_disks(("vda", "vdb", "vdc"))),
        ("one disk less", with_disks(("vda",))),
        ("no list: all of them", with_disks(())),
        ("one of them twice", with_disks(("vda", "vda", "vdc"))),
        ("another socket", with_disks(uri="unix:///run/libvirt/libvirt-sock")),
        ("a port", with_disks(uri="tcp://0.0.0.0:10809")),
        ("no disks by its flags", with_disks(flags=0x23)),
        ("what has changed since a base", with_disks(flags=0xA3)),
        ("both", with_disks(flags=0xE3)),
        ("a port to listen at", with_disks(sizes=SIZES.replace("<nbd>", "<nbd port='49152'>"))),
        ("the size of another disk", with_disks(sizes=SIZES.replace("vdc", "vdd"))),
        ("no size", with_disks(sizes=SIZES.replace("'9'", "'many'"))),
        ("a file", with_disks(sizes=SIZES.replace("capacity='9'/", "capacity='9' file='/etc/x'/"))),
        ("a source", with_disks(sizes=SIZES.replace("'9'/>", "'9'><source/></disk>"))),
    ],
)
def test_a_migration_with_other_disks_is_stopped(story: str, message: bytes) -> None:
    with pytest.raises(NotLetThrough):
        disk_filter()(message)


@pytest.mark.parametrize("size", [1, 100, 1 << 20])
def test_a_recorded_migration_with_disks_passes_in_whatever_pieces_it_comes(size: int) -> None:
    """Of a q35 machine with UEFI, two files that go along, and its variables in a third."""
    data = (RECORDED / "storage_migration.bin").read_bytes()
    passes = ArrivalFilter(
        Arrival(
            name="web1",
            uuid="8cdc3776-b92f-4fe1-9298-8ac6bfa4736a",
            xml=(RECORDED / "storage_definition.xml").read_text(),
            memory=MEMORY,
            mirrored=("vda", "vdb"),
            disks=DISKS,
        )
    )

    passed = [passes(data[at : at + size]) for at in range(0, len(data), size)]

    assert b"".join(passed) == data


def test_a_vm_without_local_disks_brings_none_along() -> None:
    for message in (with_disks(), with_disks((), "", 0x63, ""), with_disks((), DISKS, 0x23, "")):
        with pytest.raises(NotLetThrough):
            disk_filter(())(message)
    plain = with_disks((), "", 0x23, "")
    assert disk_filter(())(plain) == plain


def test_a_message_that_ends_early_or_goes_on_is_stopped() -> None:
    for message in (of(PREPARE), of(FINISH), of(OPEN), of(libvirt_rpc.CLOSE)):
        body = message[HEADER.size :]
        for wrong in (body[:-4], body + b"\0\0\0\0"):
            if wrong != body:
                with pytest.raises(NotLetThrough):
                    arrival_filter()(framed(message, wrong))


def test_whatever_bytes_come_are_passed_whole_or_stopped() -> None:
    """Any one byte of a prepared migration altered: it is stopped, waits, or is harmless text."""
    message = of(PREPARE)
    for at in range(0, len(message), 3):
        altered = bytearray(message)
        altered[at] ^= 0x15
        try:
            passed = arrival_filter()(bytes(altered))
        except NotLetThrough:
            continue
        assert passed in (b"", bytes(altered))


def test_more_memory_than_the_document_says_now_is_that_of_an_earlier_start() -> None:
    started_with = replaced(of(PREPARE), b"<memory unit='KiB'>98304<", b"<memory unit='KiB'>65536<")

    assert arrival_filter()(started_with) == started_with
    for wrong in (b"<memory unit='KiB'>1e9<", b"<memory unit='GiB'>1<"):
        with pytest.raises(NotLetThrough):
            arrival_filter()(replaced(of(PREPARE), b"<memory unit='KiB'>98304<", wrong))


def test_an_arrival_has_every_disk_and_interface_that_is_expected() -> None:
    for whole in ("disk", "interface"):
        begin, end = XML.index(f"    <{whole} "), XML.index(f"</{whole}>") + len(f"</{whole}>")
        expected = XML[:end] + "\n" + XML[begin:end].replace("00:59:4e:0a", "x") + XML[end:]

        with pytest.raises(NotLetThrough, match=f"lacks {whole}"):
            arrival_filter(expected)(of(PREPARE))


class FakeLibvirt:
    """A libvirt behind the filter: it answers what a migration asks, and nothing else comes."""

    def __init__(self, path: Path) -> None:
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            with sock:
                self._answer(sock, arrival_filter())

    def _answer(self, sock: socket.socket, passes: ArrivalFilter) -> None:
        while data := sock.recv(65536):
            try:
                passed = passes(data)
            except NotLetThrough as stopped:
                sock.sendall(stopped.answer)
                passed = stopped.passed
            while passed:
                length = int.from_bytes(passed[:4], "big")
                sock.sendall(self._reply(passed[:length]))
                passed = passed[length:]

    def _reply(self, call: bytes) -> bytes:
        _, program, version, procedure, kind, serial, _ = HEADER.unpack_from(call)
        if kind != 0:
            return b""
        one = (1).to_bytes(4, "big")
        body = {66: one + bytes(4), 60: one}.get(procedure, b"")
        header = HEADER.pack(28 + len(body), program, version, procedure, 1, serial, 0)
        return header + body

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)  # closing it alone wakes no thread
        self._listener.close()


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[Any]:
    """libvirt's own client, connected through the filter."""
    import libvirt

    libvirt.registerErrorHandler(lambda *_: None, None)
    server = FakeLibvirt(tmp_path / "libvirt.sock")
    opened = libvirt.open(f"qemu+unix:///system?socket={tmp_path}/libvirt.sock")
    yield opened
    opened.close()
    server.close()


@pytest.mark.parametrize(
    "ask",
    [
        lambda one: one.listAllDomains(0),
        lambda one: one.defineXML("<domain/>"),
        lambda one: one.createXML("<domain/>", 0),
        lambda one: one.lookupByName("web1"),
        lambda one: one.storagePoolCreateXML("<pool/>", 0),
        lambda one: one.getCapabilities(),
        lambda one: one.domainXMLFromNative("qemu-argv", "x", 0),
        lambda one: one.restore("/etc/shadow"),
    ],
)
def test_a_client_of_libvirt_gets_a_refusal_in_words_and_nothing_else(
    connection: Any, ask: Callable[[Any], object]
) -> None:
    import libvirt

    with pytest.raises(libvirt.libvirtError) as refused:
        ask(connection)

    assert "the destination's mcvd does not let it through" in str(refused.value)
    assert "is no part of a migration" in str(refused.value)
    assert connection.isAlive()
