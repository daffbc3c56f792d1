"""Downloads over real sockets: what servers do wrong, and which addresses are connected to."""

import contextlib
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mcv.drivers import download
from mcv.drivers.addresses import own
from mcv.errors import CommandFailed, McvError, Refused
from mcv.rpc import pki

Answer = Callable[[socket.socket, str], None]  # (connection, path)


@pytest.fixture
def serve() -> Iterator[Callable[[Answer], str]]:
    """Start a server on loopback that answers each request so; its URL."""
    listeners: list[socket.socket] = []

    def start(answer: Answer) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)
        threading.Thread(target=_accept, args=(listener, answer), daemon=True).start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}"

    yield start
    for listener in listeners:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def _accept(listener: socket.socket, answer: Answer) -> None:
    while True:
        try:
            sock, _ = listener.accept()
        except OSError:
            return
        with sock, contextlib.suppress(OSError):
            request = b""
            while b"\r\n\r\n" not in request:
                request += sock.recv(4096)
            answer(sock, request.split()[1].decode())


def body(head: str, text: bytes) -> Answer:
    return lambda sock, path: sock.sendall(f"HTTP/1.1 {head}\r\n\r\n".encode() + text)


def anywhere(address: download.IP) -> str:
    return ""


def elsewhere(address: download.IP) -> str:
    return download.why_not(address, {"192.0.2.7"})


def fetch(url: str, judge: download.Judge = anywhere, is_checked: bool = False) -> bytes:
    with download.opened(url, judge, is_checked) as fetched:
        return b"".join(fetched.pieces())


def test_the_bytes_come_as_they_are(serve: Callable[[Answer], str]) -> None:
    asked: list[str] = []

    def answer(sock: socket.socket, path: str) -> None:
        asked.append(path)
        body("200 OK\r\nContent-Length: 4", b"bytes of another request")(sock, path)

    assert fetch(f"{serve(answer)}/a/disk.raw?v=1#part") == b"byte"
    assert asked == ["/a/disk.raw?v=1"]


def test_chunks_are_put_together(serve: Callable[[Answer], str]) -> None:
    text = b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"

    assert fetch(serve(body("200 OK\r\nTransfer-Encoding: chunked", text))) == b"abcde"


@pytest.mark.parametrize(
    ("head", "text", "told"),
    [
        ("200 OK\r\nContent-Length: 10", b"short", "ended after 5 of 10 bytes"),
        ("200 OK\r\nTransfer-Encoding: chunked", b"5\r\nab", "ended early"),
        ("200 OK\r\nTransfer-Encoding: chunked", b"2\r\nab\r\n", "ended early"),
        ("404 Not Found\r\nContent-Length: 0", b"", "404 Not Found"),
        ("206 Partial\r\nContent-Length: 1", b"a", "206 Partial"),
    ],
)
def test_a_download_that_is_not_whole_fails(
    serve: Callable[[Answer], str], head: str, text: bytes, told: str
) -> None:
    with pytest.raises(McvError, match=told):
        fetch(serve(body(head, text)), is_checked=True)


def test_an_end_that_nobody_told_is_believed_with_a_digest_alone(
    serve: Callable[[Answer], str],
) -> None:
    url = serve(body("200 OK", b"bytes"))

    with pytest.raises(Refused, match="does not say how long it is") as refused:
        fetch(url)
    assert "--sha256" in refused.value.hint
    assert fetch(url, is_checked=True) == b"bytes"


@pytest.mark.parametrize("head", ["200 OK\r\nContent-Length: 9\r\n\r\nbyte", "200 OK"])
def test_a_server_that_falls_silent_is_left(
    serve: Callable[[Answer], str], monkeypatch: pytest.MonkeyPatch, head: str
) -> None:
    monkeypatch.setattr(download, "SILENCE", 0.3)
    over = threading.Event()

    def answer(sock: socket.socket, path: str) -> None:
        sock.sendall(f"HTTP/1.1 {head}".encode())
        over.wait(20)

    try:
        with pytest.raises(McvError, match="sent nothing for 0 s"):
            fetch(serve(answer))
    finally:
        over.set()


def test_redirects_are_followed_so_far(serve: Callable[[Answer], str]) -> None:
    def answer(sock: socket.socket, path: str) -> None:
        left = int(path[1:])
        where = f"302 Found\r\nLocation: /{left - 1}\r\nContent-Length: 0"
        body(where if left else "200 OK\r\nContent-Length: 4", b"byte")(sock, path)

    url = serve(answer)

    assert fetch(f"{url}/5") == b"byte"
    with pytest.raises(Refused, match="more than 5 redirects"):
        fetch(f"{url}/6")


@pytest.mark.parametrize("to", ["file:///etc/shadow", "ftp://192.0.2.1/x", "gopher://x"])
def test_a_redirect_leads_to_no_other_scheme(serve: Callable[[Answer], str], to: str) -> None:
    url = serve(body(f"302 Found\r\nLocation: {to}\r\nContent-Length: 0", b""))

    with pytest.raises(Refused, match="no http:// or https://"):
        fetch(url)


def test_the_address_is_judged_at_each_redirect(
    serve: Callable[[Answer], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first server is called elsewhere; it leads on to this host."""
    reached: list[str] = []
    inner = serve(lambda sock, path: reached.append(path))
    outer = serve(body(f"302 Found\r\nLocation: {inner}/secret\r\nContent-Length: 0", b""))
    judged: list[str] = []

    def judge(address: download.IP) -> str:
        judged.append(str(address))
        return elsewhere(address) if len(judged) > 1 else ""

    with pytest.raises(Refused, match=r"is 127\.0\.0\.1, an address of this host") as refused:
        fetch(outer, judge)

    assert reached == [] and len(judged) == 2
    assert "--allow-private" in refused.value.hint


def test_what_is_connected_to_is_the_address_that_was_judged(
    serve: Callable[[Answer], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that resolves anew at each question is resolved once."""
    url = serve(body("200 OK\r\nContent-Length: 4", b"byte"))
    port = int(url.rpartition(":")[2])
    answers = iter(["127.0.0.1", "192.0.2.7"])
    real = socket.getaddrinfo

    def resolve(host: str, *rest: object, **more: object) -> object:
        name = next(answers) if host == "images.example" else host
        return real(name, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)

    assert fetch(f"http://images.example:{port}/") == b"byte"
    with pytest.raises(Refused, match=r"is 192\.0\.2\.7, an address of this cluster"):
        fetch(f"http://images.example:{port}/", elsewhere)


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1", "::7f00:1", "64:ff9b::7f00:1"),
        *("169.254.169.254", "fe80::1", "fe80::1%eth0", "::ffff:169.254.1.1", "2002:7f00:1::"),
        *("0.0.0.0", "::", "224.0.0.1", "ff02::1", "255.255.255.255", "0.0.0.0"),
        *("192.0.2.7", "::ffff:192.0.2.7", "64:ff9b::c000:207"),
    ],
)
def test_an_address_that_is_not_for_images(address: str) -> None:
    assert elsewhere(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", ["10.0.0.5", "192.0.2.8", "2001:db8::1", "fd00::1"])
def test_an_address_that_is(address: str) -> None:
    assert elsewhere(ipaddress.ip_address(address)) == ""


@pytest.mark.parametrize(
    "url",
    [
        *("file:///etc/shadow", "http:///x", "https://", "ftp://a/b", "http://[::1/x", "x"),
        *("http://user:word@images.example/x", "http://a:99999/x", "http://a/b\nc", "http://a b"),
    ],
)
def test_what_is_no_url_is_refused_before_anything_is_asked(url: str) -> None:
    with pytest.raises(Refused):
        download.parts_of(url)


def test_a_certificate_of_nobody_is_not_believed(tmp_path: Path) -> None:
    identity = pki.load_or_create("n1", tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(identity.certificate, identity.key)
    listener = socket.create_server(("127.0.0.1", 0))

    def handshakes() -> None:
        with contextlib.suppress(OSError):  # the listener is closed
            while True:
                sock, _address = listener.accept()
                with sock, contextlib.suppress(OSError):
                    context.wrap_socket(sock, server_side=True).close()

    threading.Thread(target=handshakes, daemon=True).start()
    url = f"https://127.0.0.1:{listener.getsockname()[1]}/x"

    with listener, pytest.raises(McvError, match="CERTIFICATE_VERIFY_FAILED"):
        fetch(url)


def test_the_addresses_of_this_host_are_told_by_its_tool() -> None:
    text = '[{"addr_info": [{"local": "127.0.0.1"}, {"local": "::1"}]}, {"ifname": "x"}]'
    commands: list[tuple[str, ...]] = []

    def run(*command: str, stdin: str = "", timeout: float = 60) -> str:
        commands.append(command)
        return text

    assert own(run) == ["127.0.0.1", "::1"]
    assert commands == [("ip", "-json", "address", "show")]
    text = "no JSON"
    with pytest.raises(CommandFailed):
        own(run)
