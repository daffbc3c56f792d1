"""Transactions in etcd with Python's standard library alone: for a program that has no time.

The fence-peer handler is started while a guest's I/O stands still, and decides before anything
large could be imported. A request is HTTP/1.0, over TLS 1.3 with the member's own certificate; the
line is kept for the next request, since in a busy node a handshake takes longer than an answer.
"""

import base64
import contextlib
import json
import re
import socket
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mcv.ha.env import Answer, Compare, Entry, Put, Txn, Unchanged, Unknown

PATIENCE = 1.0  # s that one member has for one answer
MOST = 4 * 1024**2  # bytes of an answer
TXN = "/v3/kv/txn"
HEAD = b"POST %s HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: %d\r\n\r\n"
X509_V_FLAG_NO_CHECK_TIME = 0x200000


@dataclass(frozen=True)
class Voter:
    """A member of etcd: where it answers, and its certificate as PEM."""

    name: str
    address: str
    port: int
    certificate: str


class _Lost(Exception):
    """No answer of one member."""

    def __init__(self, why: object, is_sent: bool) -> None:
        super().__init__(why)
        self.is_sent = is_sent


class PlainEtcd:
    """The keys of one cluster, below `prefix`; the member that answered last is asked first."""

    def __init__(self, prefix: str, voters: Iterable[Voter], certificate: str, key: str) -> None:
        self._prefix = prefix
        self._order = list(voters)
        self._own = (certificate, key)
        self._kept: tuple[Voter, ssl.SSLSocket] | None = None

    def connect(self) -> None:
        """Have a line to the member that is asked first: the next request need not wait for it.

        A member without an answer is asked last then.
        """
        for voter in self._order[:1]:
            try:
                self._kept = (voter, self._line(voter))
            except (OSError, ValueError):
                self._order.append(self._order.pop(0))

    def txn(self, txn: Txn) -> Answer:
        """Have a transaction committed. Raises Unknown.

        One that writes is not sent to a second member once one may have it.
        """
        body = json.dumps(self._asked(txn)).encode()
        why: list[str] = []
        for voter in list(self._order):
            try:
                answer = self._answer(json.loads(self._exchange(voter, body)))
            except _Lost as lost:
                why.append(f"{voter.name}: {lost}")
                self._order.remove(voter)
                self._order.append(voter)
                if lost.is_sent and txn.puts:
                    break
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                why.append(f"{voter.name}: {error!r}")
                if txn.puts:
                    break
            else:
                self._order.remove(voter)
                self._order.insert(0, voter)
                return answer
        raise Unknown("; ".join(why) or "no member of etcd is known")

    # What etcd's JSON gateway reads and writes

    def _asked(self, txn: Txn) -> dict[str, object]:
        reads = [{"request_range": self._range(prefix)} for prefix in txn.reads]
        return {
            "compare": [self._compare(compare) for compare in txn.compares],
            "success": [*(self._put(put) for put in txn.puts), *reads],
            "failure": reads,
        }

    def _compare(self, compare: Compare) -> dict[str, object]:
        if isinstance(compare, Unchanged):
            key = self._key(compare.key)
            return {"key": key, "target": "MOD", "mod_revision": compare.revision}
        newer = {"target": "MOD", "result": "LESS", "mod_revision": compare.revision + 1}
        return {**self._range(compare.prefix), **newer}

    def _put(self, put: Put) -> dict[str, object]:
        if put.value is None:
            return {"request_delete_range": {"key": self._key(put.key)}}
        value = base64.b64encode(put.value.encode()).decode()
        return {"request_put": {"key": self._key(put.key), "value": value}}

    def _range(self, prefix: str) -> dict[str, str]:
        begin = (self._prefix + prefix).encode()
        end = begin[:-1] + bytes([begin[-1] + 1])
        return {"key": _base64(begin), "range_end": _base64(end)}

    def _key(self, key: str) -> str:
        return _base64((self._prefix + key).encode())

    def _answer(self, told: Mapping[str, Any]) -> Answer:
        entries = {}
        for response in told.get("responses", ()):
            for pair in response.get("response_range", {}).get("kvs", ()):
                key = base64.b64decode(pair["key"]).decode().removeprefix(self._prefix)
                value = base64.b64decode(pair.get("value", "")).decode(errors="replace")
                entries[key] = Entry(value, int(pair["mod_revision"]))
        return Answer(bool(told.get("succeeded")), int(told["header"]["revision"]), entries)

    # The way there

    def _exchange(self, voter: Voter, body: bytes) -> bytes:
        """The body of a member's answer; only what is 200 is one."""
        is_sent = False
        with contextlib.ExitStack() as closing:
            try:
                line = closing.enter_context(self._kept_line(voter) or self._line(voter))
                is_sent = True
                line.sendall(HEAD % (TXN.encode(), len(body)) + body)
                head, answer, is_open = _answered(line)
            except (OSError, ValueError) as error:
                raise _Lost(error, is_sent) from error
            if is_open:
                closing.pop_all()
                self._kept = (voter, line)
        if head.split(b" ")[1:2] != [b"200"]:
            raise _Lost(head[:80] + b" " + answer[:200], is_sent)
        return answer

    def _kept_line(self, voter: Voter) -> ssl.SSLSocket | None:
        """The line that was kept, if it is this member's; another one's is closed."""
        kept, self._kept = self._kept, None
        if kept is None or kept[0] is voter:
            return kept and kept[1]
        kept[1].close()
        return None

    def _line(self, voter: Voter) -> ssl.SSLSocket:
        plain = socket.create_connection((voter.address, voter.port), PATIENCE)
        try:
            return self._context(voter).wrap_socket(plain)
        except BaseException:
            plain.close()
            raise

    def _context(self, voter: Voter) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.check_hostname = False
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | X509_V_FLAG_NO_CHECK_TIME
        context.load_cert_chain(*self._own)
        context.load_verify_locations(cadata=ssl.PEM_cert_to_DER_cert(voter.certificate.strip()))
        return context


def _answered(line: ssl.SSLSocket) -> tuple[bytes, bytes, bool]:
    """Head and body of an answer, and whether the line can be used again.

    Without a length the body ends with the line.
    """
    text, length = b"", None
    while length is None or len(text) < length:
        piece = line.recv(64 * 1024)
        if not piece:
            break
        text += piece
        if len(text) > MOST:
            raise ValueError(f"more than {MOST} bytes")
        if length is None:
            length = _length(text)
    head, _, body = text.partition(b"\r\n\r\n")
    if length is not None and len(text) != length:
        raise ValueError(f"an answer of {len(text)} bytes, not {length}")
    return head, body, length is not None and b"\r\nconnection: keep-alive" in head.lower()


def _length(text: bytes) -> int | None:
    """How many bytes the whole answer has; None where its head is not whole or does not say."""
    head, end, _ = text.partition(b"\r\n\r\n")
    found = re.search(rb"\r\ncontent-length: *(\d{1,9}) *(\r\n|$)", head, re.I) if end else None
    return len(head) + len(end) + int(found[1]) if found else None


def _base64(key: bytes) -> str:
    return base64.b64encode(key).decode()
