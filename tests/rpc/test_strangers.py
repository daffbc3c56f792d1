"""What Pyro5 leaves open is closed: serializers, flags, objects, sizes, silence, garbage."""

import contextlib
import json
import marshal
import os
import random
import socket
import stat
import struct
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from Pyro5 import serializers

from mcv.errors import DaemonDown, Refused
from mcv.rpc import limits, values
from mcv.rpc.server import Server
from tests.rpc import raw
from tests.rpc.conftest import SHORT, Wire


@contextlib.contextmanager
def unix(wire: Wire) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(5)
        sock.connect(str(wire.socket))
        yield sock


def exchange(wire: Wire, data: bytes) -> Any:
    with unix(wire) as sock:
        with contextlib.suppress(ConnectionError):
            sock.sendall(data)
        return raw.answer(sock)


def test_a_message_written_by_hand_is_answered(wire: Wire) -> None:
    data = raw.message(raw.request())

    assert exchange(wire, data) == {}
    assert len(wire.calls) == 1


@pytest.mark.parametrize("serializer", [1, 2, 4, 42], ids=["serpent", "marshal", "msgpack", "42"])
def test_another_serializer_ends_the_connection_before_anything_is_decoded(
    wire: Wire, serializer: int
) -> None:
    data = raw.message(raw.request(), serializer=serializer)

    assert exchange(wire, data) is None
    assert wire.calls == []


def test_pyro_knows_json_alone_on_either_side() -> None:
    assert set(serializers.serializers) == {"json"}
    assert set(serializers.serializers_by_id) == {raw.JSON}


@pytest.mark.parametrize(
    ("what", "flags"),
    [("compressed", 2), ("one-way", 4), ("batch", 8), ("stream", 16), ("kept serialized", 32)],
)
def test_flags_of_pyro_that_are_not_needed_end_the_connection(
    wire: Wire, what: str, flags: int
) -> None:
    payload = zlib.compress(raw.request()) if what == "compressed" else raw.request()
    data = raw.message(payload, flags=flags)

    assert exchange(wire, data) is None
    assert wire.calls == []


def test_an_annotation_that_pyro_would_hand_to_marshal_ends_the_connection(wire: Wire) -> None:
    blob = marshal.dumps(("info", "mcv", "call"))
    annotation = b"BLBI" + struct.pack("!I", len(blob)) + blob
    data = raw.message(raw.request(), flags=32, annotations=annotation)

    assert exchange(wire, data) is None
    assert wire.calls == []


@pytest.mark.parametrize("kind", [1, 2, 3, 5, 6], ids=lambda kind: f"type {kind}")
def test_any_message_but_a_call_ends_the_connection(wire: Wire, kind: int) -> None:
    data = raw.message(b'{"handshake": "hello", "object": "mcv"}', kind=kind)

    assert exchange(wire, data) is None


@pytest.mark.parametrize(
    "data",
    [b"GET / HTTP/1.1\r\n\r\n" * 3, b"\0" * 100, random.Random(1).randbytes(100)],
    ids=["http", "zeros", "noise"],
)
def test_garbage_ends_its_connection_and_no_other(wire: Wire, data: bytes) -> None:
    assert exchange(wire, data) is None

    assert wire.client().call("say", a=1) == {"a": 1}


def test_a_request_of_more_than_64_mib_is_refused_by_its_header(wire: Wire) -> None:
    data = raw.message(b"", size=64 * 1024**2 + 1)
    begun = time.monotonic()

    assert exchange(wire, data) is None
    assert time.monotonic() - begun < 1


def test_a_request_of_more_than_64_mib_does_not_leave_the_caller(wire: Wire) -> None:
    text = "x" * (64 * 1024**2)

    with pytest.raises(Refused, match="64 MiB"):
        wire.client().call("say", text=text)
    assert wire.calls == []


def test_a_large_request_passes(wire: Wire) -> None:
    wire.operations["config.fetch"] = wire.operations["say"]
    text = "x" * (20 * 1024**2)

    assert wire.call("config.fetch", text=text) == {"text": text}


@pytest.mark.parametrize("method", ["registered", "info", "ping", "get_next_stream_item", "daemon"])
def test_pyros_own_object_gives_nothing_away(wire: Wire, method: str) -> None:
    data = raw.message(raw.request(method, "Pyro.Daemon", []))

    answer = exchange(wire, data)

    assert answer["__class__"] == values.ERROR
    assert "mcvd.sock" not in json.dumps(answer)
    assert "Traceback" not in json.dumps(answer)


def test_pyros_own_object_answers_metadata(wire: Wire) -> None:
    data = raw.message(raw.request("get_metadata", "Pyro.Daemon", ["mcv"]))

    assert exchange(wire, data) == {"methods": ["call"], "oneway": [], "attrs": []}


@pytest.mark.parametrize("target", ["mcvd", "", "Pyro.NameServer", None, ["mcv"]])
def test_no_other_object_exists(wire: Wire, target: Any) -> None:
    data = raw.message(raw.request(target=target))

    answer = exchange(wire, data)

    assert answer["class"] == "McvError"
    assert wire.calls == []


@pytest.mark.parametrize("method", ["_handle", "__init__", "__getattr__", "__class__", "other"])
def test_no_other_method_exists(wire: Wire, method: str) -> None:
    data = raw.message(raw.request(method, params=["_handle"]))

    answer = exchange(wire, data)

    assert answer["__class__"] == values.ERROR
    assert wire.calls == []


@pytest.mark.parametrize("params", [[], ["say"], [1, {}, {}], ["say", [], {}], ["say", {}, None]])
def test_a_call_of_another_shape_is_refused(wire: Wire, params: Any) -> None:
    data = raw.message(raw.request(params=params))

    answer = exchange(wire, data)

    assert answer["__class__"] == values.ERROR
    assert wire.calls == []


def test_a_silent_connection_keeps_nobody_waiting(wire: Wire) -> None:
    silent = [socket.create_connection(("127.0.0.1", wire.port)) for _ in range(20)]
    begun = time.monotonic()

    answer = wire.call(a=1)

    assert answer == {"a": 1}
    # One after the other they would take twenty handshakes' time.
    assert time.monotonic() - begun < 10 * SHORT.handshake
    for one in silent:
        one.close()


def test_a_silent_connection_is_closed_after_the_time_for_a_handshake(wire: Wire) -> None:
    with socket.create_connection(("127.0.0.1", wire.port)) as silent:
        silent.settimeout(5)
        begun = time.monotonic()

        assert raw.read(silent, 1) == b""
        assert time.monotonic() - begun < SHORT.handshake + 1.5


def test_an_idle_connection_is_closed(wire: Wire) -> None:
    with unix(wire) as sock:
        begun = time.monotonic()

        assert raw.read(sock, 1) == b""
        assert SHORT.idle - 0.5 < time.monotonic() - begun < SHORT.idle + 4


def test_a_message_that_stops_half_way_is_given_up(wire: Wire) -> None:
    with unix(wire) as sock:
        sock.sendall(raw.message(b"", size=1000) + b"x")
        begun = time.monotonic()

        assert raw.read(sock, 1) == b""
        assert time.monotonic() - begun < SHORT.message + 1


def test_another_user_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    calls: list[str] = []
    path = tmp_path / "run" / "mcvd.sock"
    server = Server(lambda *call: calls.append(call[1]), path, allowed_uid=os.getuid() + 1)
    server.start_operator()

    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(5)
        sock.connect(str(path))
        ended = raw.read(sock, 1)

    server.stop()
    assert ended == b""
    assert calls == []


def test_the_socket_is_for_its_owner_alone(wire: Wire) -> None:
    assert stat.S_IMODE(wire.socket.stat().st_mode) == 0o600
    assert stat.S_IMODE(wire.socket.parent.stat().st_mode) == 0o700


def test_a_socket_that_a_dead_daemon_left_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "run" / "mcvd.sock"
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as left:
        left.bind(str(path))

    server = Server(lambda *_call: "alive", path, allowed_uid=os.getuid())
    server.start_operator()

    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.connect(str(path))
    server.stop()
    assert not path.exists()


def test_a_socket_on_which_a_daemon_answers_is_left_alone(wire: Wire) -> None:
    second = Server(lambda *_call: "second", wire.socket, allowed_uid=os.getuid())

    with pytest.raises(Refused, match="Another mcvd"):
        second.start_operator()

    second.stop()
    assert wire.client().call("say", a=1) == {"a": 1}


def test_a_stopped_server_is_not_there(wire: Wire) -> None:
    wire.server.stop()

    with pytest.raises(DaemonDown, match="does not run"):
        wire.client().call("say")


LISTS = "[" + "[]," * (2 * 1024**2) + "[]]"


def call_of(operation: str, params: str) -> bytes:
    text = f'{{"object": "mcv", "method": "call", "params": ["{operation}", {params}, {{}}], '
    return (text + '"kwargs": {}}').encode()


def test_a_large_call_is_read_only_where_it_brings_a_document(wire: Wire) -> None:
    for beginning in (call_of("say", '{"text": "'), b"[" * 200, b'{"object": "mcv", "x": ' * 9):
        with unix(wire) as sock:
            sock.sendall(raw.message(beginning.ljust(200), size=5 * 1024**2))

            assert raw.answer(sock) is None


@pytest.mark.parametrize(
    "payload",
    [
        call_of("config.accept", f'{{"document": {LISTS}}}'),
        call_of("config.accept", LISTS),
        call_of("config.accept", "{}").replace(b"{}], ", LISTS.encode() + b"], "),
        call_of("config.accept", "{}").replace(
            b'"kwargs"', b'"params": ["say", {"text": ' + LISTS.encode() + b'}, {}], "kwargs"'
        ),
    ],
)
def test_a_large_call_is_text_alone(wire: Wire, payload: bytes) -> None:
    assert len(payload) > limits.MAX_CALL

    answered = exchange(wire, raw.message(payload))

    assert answered["class"] == "Refused" and "brings documents alone" in answered["message"]


def test_a_document_may_be_large(wire: Wire) -> None:
    payload = call_of("config.accept", '{"document": "%s", "between": ["a"]}' % ("x" * 5 * 1024**2))

    answered = exchange(wire, raw.message(payload))

    assert answered is None or "brings documents alone" not in str(answered)


def test_an_answer_of_a_member_is_bounded_before_it_is_read(wire: Wire) -> None:
    from mcv.rpc.client_connection import ClientConnection, ConnectionLost

    for operation, size, is_refused in (
        ("node.report", limits.MAX_ANSWER + 1, True),
        ("config.fetch", limits.MAX_ANSWER + 1, False),
        ("node.report", limits.MAX_ANSWER, False),
    ):
        mine, theirs = socket.socketpair()
        with theirs:
            line = ClientConnection(mine)
            theirs.sendall(raw.message(b"", kind=5, size=size))
            theirs.shutdown(socket.SHUT_WR)
            with pytest.raises(ConnectionLost) as lost:
                line.call(operation, {}, {}, 5)
            assert ("is not taken" in lost.value.reason) == is_refused, lost.value.reason
            line.close()
