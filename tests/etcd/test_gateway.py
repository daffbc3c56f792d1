"""Answers that are none: what another program, a faulty etcd or a broken line sends."""

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mcv.errors import CallLost, McvError, NotUnderstood, PeerUnreachable, Refused, StoreFull
from mcv.etcd.client import Etcd
from mcv.etcd.gateway import Endpoint, Gateway
from mcv.etcd.requests import put
from mcv.rpc import pki, tls
from tests.etcd.server import ADDRESS


class Liar:
    """Answers each request over TLS with the same bytes, then ends the connection."""

    def __init__(self, name: str, directory: Path) -> None:
        self.identity = pki.create(name, directory)
        self.certificate = directory / "etcd.pem"
        self.certificate.write_text(pki.certificate_at(self.identity, ADDRESS))
        self.says = b""
        self.asked = 0
        self._context = tls.server_context(self.identity, [self.certificate.read_text()])
        self._context.load_cert_chain(self.certificate, self.identity.key)
        self._listener = socket.create_server((ADDRESS, 0))
        self.endpoint = Endpoint(name, ADDRESS, self._listener.getsockname()[1])
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            try:
                with self._context.wrap_socket(plain, server_side=True) as line:
                    line.recv(65536)
                    self.asked += 1
                    line.sendall(self.says)
            except OSError:
                continue

    def context(self, endpoint: Endpoint) -> ssl.SSLContext:
        return tls.client_context(self.identity, self.certificate.read_text(), self.certificate)

    def answers(self, body: str, status: str = "200 OK") -> None:
        text = body.encode()
        head = f"HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {len(text)}\r\n\r\n"
        self.says = head.encode() + text

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)  # closing it alone wakes no thread
        self._listener.close()


@pytest.fixture
def liar(tmp_path: Path) -> Iterator[Liar]:
    liar = Liar("n1", tmp_path / "n1")
    yield liar
    liar.close()


def etcd_of(liar: Liar, patience: float = 5.0) -> Etcd:
    return Etcd(Gateway([liar.endpoint], liar.context, patience))


HEADER = '{"header": {"revision": "5"}, '

NONSENSE = {
    "a page of another program": "<html>",
    "a list": "[]",
    "a key that is no base64": HEADER
    + '"kvs": [{"key": "!", "create_revision": "1", "mod_revision": "1"}]}',
    "a key without its revisions": HEADER + '"kvs": [{"key": "YQ=="}]}',
    "a revision that is no number": '{"header": {"revision": "five"}}',
    "depth": '{"header":' * 5000,
    "not UTF-8": "\udcff",
}


@pytest.mark.parametrize("story", NONSENSE)
def test_nonsense_is_no_answer_and_the_error_says_what_to_look_at(liar: Liar, story: str) -> None:
    liar.answers(NONSENSE[story].encode(errors="surrogateescape").decode(errors="replace"))

    with pytest.raises(NotUnderstood, match="etcd on n1 answered /v3/kv/range with") as told:
        etcd_of(liar).read(b"/")

    assert told.value.hint.endswith("On n1: systemctl status mcv-etcd")


REFUSALS: list[tuple[str, str, type[McvError], type[McvError]]] = [
    ("no leader", '{"error":"etcdserver: no leader","code":14}', PeerUnreachable, CallLost),
    ("time out", '{"error":"request timed out","code":14}', PeerUnreachable, CallLost),
    ("too much", '{"error":"too many requests","code":8}', PeerUnreachable, PeerUnreachable),
    ("full", '{"error":"mvcc: database space exceeded","code":8}', StoreFull, StoreFull),
    ("declined", '{"error":"key is not provided","code":3}', Refused, Refused),
    ("another program", "<html>", NotUnderstood, CallLost),
    ("no words", "{}", NotUnderstood, CallLost),
]


@pytest.mark.parametrize(("story", "body", "of_a_read", "of_a_write"), REFUSALS)
def test_what_a_refusal_leaves_behind(
    liar: Liar, story: str, body: str, of_a_read: type[McvError], of_a_write: type[McvError]
) -> None:
    liar.answers(body, "503 Service Unavailable")

    with pytest.raises(McvError) as read:
        etcd_of(liar).read(b"/")
    with pytest.raises(McvError) as written:
        etcd_of(liar).change([], [put(b"/", b"1")])

    assert (type(read.value), type(written.value)) == (of_a_read, of_a_write)


CUT = {
    "nothing": b"",
    "no HTTP": b"SSH-2.0-OpenSSH_9.2\r\n",
    "half a body": b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{",
    "endless headers": b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 1000,
}


@pytest.mark.parametrize("story", CUT)
def test_a_line_that_breaks_leaves_a_write_open_and_a_read_unanswered(
    liar: Liar, story: str
) -> None:
    liar.says = CUT[story]

    with pytest.raises(McvError) as read:
        etcd_of(liar).read(b"/")
    with pytest.raises(CallLost):
        etcd_of(liar).change([], [put(b"/", b"1")])

    assert isinstance(read.value, PeerUnreachable | NotUnderstood)


def test_an_answer_that_comes_byte_by_byte_has_one_time_for_all_of_it(tmp_path: Path) -> None:
    class Dripping(Liar):
        def _serve(self) -> None:
            plain, _ = self._listener.accept()
            with self._context.wrap_socket(plain, server_side=True) as line:
                line.recv(65536)
                line.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
                while True:
                    time.sleep(0.1)
                    try:
                        line.sendall(b" ")
                    except OSError:
                        return

    liar = Dripping("n1", tmp_path / "n1")
    began = time.monotonic()

    with pytest.raises(PeerUnreachable, match="timed out"):
        etcd_of(liar, patience=0.5).read(b"/")

    assert time.monotonic() - began < 2
    liar.close()


def test_a_second_member_is_asked_where_the_first_answers_nonsense(tmp_path: Path) -> None:
    first, second = Liar("n1", tmp_path / "n1"), Liar("n2", tmp_path / "n2")
    first.answers("<html>")
    second.answers('{"header": {"revision": "7"}}')
    liars = {"n1": first, "n2": second}
    gateway = Gateway(
        [first.endpoint, second.endpoint],
        lambda endpoint: liars[endpoint.name].context(endpoint),
        5.0,
    )

    assert Etcd(gateway).read(b"/").header.revision == 7
    Etcd(gateway).read(b"/")

    assert (first.asked, second.asked) == (1, 2)
    for liar in liars.values():
        liar.close()
