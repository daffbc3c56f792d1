"""http and https: the address that is connected to is judged, at each redirect anew.

No proxy is asked and no other scheme is known. A name is resolved once, each of its addresses is
judged, and the connection goes to the very address that was judged.
"""

import contextlib
import http.client
import ipaddress
import queue
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from urllib.parse import SplitResult, urljoin, urlsplit

import mcv
from mcv.errors import McvError, Refused

REDIRECTS = 5
SILENCE = 60.0  # s without a byte that end a download
PIECE = 1024**2
MOVED = (301, 302, 303, 307, 308)
PORTS = {"http": 80, "https": 443}

IP = ipaddress.IPv4Address | ipaddress.IPv6Address
Judge = Callable[[IP], str]  # why an address is not connected to, "" where it is

NAT64 = ipaddress.ip_network("64:ff9b::/96")
PRIVATE = "To fetch it from there nevertheless: --allow-private"


class Download:
    """A response on its way: its length where the server tells it, and its bytes."""

    def __init__(self, response: http.client.HTTPResponse, url: str) -> None:
        self._response = response
        self._url = url
        self.length = response.length
        self.tells_its_end = self.length is not None or response.chunked

    def pieces(self) -> Iterator[bytes]:
        """The bytes as they come. Errors: McvError where they end before their length says."""
        done = 0
        while done != self.length and (data := self._read()):
            done += len(data)
            yield data
        if self.length is not None and done != self.length:
            raise McvError(f"{self._url} ended after {done} of {self.length} bytes.")

    def _read(self) -> bytes:
        with _in_words(self._url):
            return self._response.read1(PIECE)


def why_not(address: IP, own: Iterable[str]) -> str:
    """Why an image is not fetched from an address; `own` are those of the cluster's nodes."""
    address = _plain(address)
    if address.is_loopback:
        return "an address of this host (loopback)"
    if address.is_link_local:
        return "a link-local address"
    if address.is_unspecified or address.is_multicast or str(address) == "255.255.255.255":
        return "no address of a host"
    return "an address of this cluster" if str(address) in own else ""


def _plain(address: IP) -> IP:
    """The IPv4 address that an IPv6 address stands for, or the address itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    if address.scope_id:
        address = ipaddress.IPv6Address(int(address))
    teredo = address.teredo[1] if address.teredo else None
    compatible = 1 < int(address) < 1 << 32
    return (
        address.ipv4_mapped
        or address.sixtofour
        or teredo
        or (ipaddress.IPv4Address(int(address)) if compatible else address)
    )


@contextlib.contextmanager
def opened(url: str, judge: Judge, is_checked: bool = False) -> Iterator[Download]:
    """Ask for a URL and follow its redirects, REDIRECTS at most.

    `is_checked`: the digest of what comes is known. Without it https is not left for http, and
    a server has to say where the bytes end. Errors: Refused for a scheme or an address that is
    not allowed, McvError for what the server answers, or does not.
    """
    for _ in range(REDIRECTS + 1):
        parts = parts_of(url)
        with _connected(parts, judge, url) as connection:
            response = _asked(connection, parts, url)
            if response.status in MOVED:
                target = urljoin(url, response.headers.get("Location", ""))
                if parts.scheme == "https" and parts_of(target).scheme == "http" and not is_checked:
                    raise Refused(
                        f"{url} leads on to {target}, which nobody vouches for.", "Give --sha256."
                    )
                url = target
                continue
            if response.status != 200:
                raise McvError(f"{url}: {response.status} {response.reason}.")
            download = Download(response, url)
            if not download.tells_its_end and not is_checked:
                raise Refused(f"{url} does not say how long it is.", "Give --sha256.")
            yield download
            return
    raise Refused(f"{url} is the end of more than {REDIRECTS} redirects.")


def parts_of(url: str) -> SplitResult:
    """The parts of a URL; Refused where it is none that is fetched."""
    if not url.isprintable() or " " in url:
        raise Refused(f"{url!r} is no URL.")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise Refused(f"{url!r} is no URL: {error}.") from error
    if parts.scheme not in PORTS or not parts.hostname or port == 0:
        raise Refused(f"{url} is not fetched: it is no http:// or https:// with a host.")
    if parts.username is not None or parts.password is not None:
        raise Refused("A URL with a user or a password is not fetched: others could read it.")
    return parts


@contextlib.contextmanager
def _connected(parts: SplitResult, judge: Judge, url: str) -> Iterator[http.client.HTTPConnection]:
    host, port = parts.hostname or "", parts.port or PORTS[parts.scheme]
    with _in_words(url):
        sock = _socket(host, port, judge)
        try:
            if parts.scheme == "https":
                # A connection that is cut off is told from one that was ended.
                context = ssl.create_default_context()
                sock = context.wrap_socket(sock, server_hostname=host, suppress_ragged_eofs=False)
        except BaseException:
            sock.close()
            raise
    connection = http.client.HTTPConnection(host, port)
    connection.sock = sock
    connection.auto_open = 0
    try:
        yield connection
    finally:
        connection.close()
        sock.close()


def _socket(host: str, port: int, judge: Judge) -> socket.socket:
    """A connection to the first address of a host that answers; each is judged before."""
    addresses = _resolved(host, port)
    for address in addresses:
        if why := judge(ipaddress.ip_address(address)):
            raise Refused(f"{host} is {address}, {why}.", PRIVATE)
    last: OSError | None = None
    for address in addresses:
        try:
            return socket.create_connection((address, port), timeout=SILENCE)
        except OSError as error:
            last = error
    raise last or OSError(f"{host} has no address")


def _resolved(host: str, port: int) -> list[str]:
    """The addresses of a host. Errors: OSError, also where the resolver does not answer."""
    answer: queue.SimpleQueue[list[str] | OSError] = queue.SimpleQueue()

    def resolve() -> None:
        try:
            entries = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            answer.put(list(dict.fromkeys(str(entry[4][0]) for entry in entries)))
        except (OSError, UnicodeError) as error:
            answer.put(error if isinstance(error, OSError) else OSError(str(error)))

    threading.Thread(target=resolve, daemon=True).start()
    try:
        found = answer.get(timeout=SILENCE)
    except queue.Empty:
        raise OSError(f"nobody says what the address of {host} is") from None
    if isinstance(found, OSError):
        raise found
    return found


def _asked(
    connection: http.client.HTTPConnection, parts: SplitResult, url: str
) -> http.client.HTTPResponse:
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    headers = {"User-Agent": f"mcv/{mcv.__version__}", "Accept-Encoding": "identity"}
    with _in_words(url):
        try:
            connection.request("GET", path, headers={**headers, "Connection": "close"})
        except UnicodeError as error:
            raise Refused(f"{url!r} is no URL: its path is no ASCII.") from error
        return connection.getresponse()


@contextlib.contextmanager
def _in_words(url: str) -> Iterator[None]:
    """Raise McvError for what goes wrong on the way."""
    try:
        yield
    except TimeoutError as error:
        raise McvError(f"{url} sent nothing for {SILENCE:.0f} s.") from error
    except http.client.IncompleteRead as error:
        raise McvError(f"{url} ended early.") from error
    except (OSError, http.client.HTTPException) as error:
        raise McvError(f"{url} cannot be fetched: {error or type(error).__name__}.") from error
