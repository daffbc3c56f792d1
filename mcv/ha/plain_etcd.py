"""Transactions in etcd with Python's standard library alone: for a program that has no time.

The fence-peer handler is started while a guest's I/O stands still, and decides before anything
large could be imported. A request is HTTP/1.0, over TLS 1.3 with the member's own certificate.
"""

import base64
import json
import socket
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mcv.ha.env import Answer, Compare, Entry, Put, Txn, Unchanged, Unknown

PATIENCE = 1.0  # s that one member has for one answer
MOST = 4 * 1024**2  # bytes of an answer
TXN = "/v3/kv/txn"
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
        try:
            context = self._context(voter)
            with (
                socket.create_connection((voter.address, voter.port), PATIENCE) as plain,
                context.wrap_socket(plain) as line,
            ):
                head = f"POST {TXN} HTTP/1.0\r\nContent-Length: {len(body)}\r\n\r\n"
                is_sent = True
                line.sendall(head.encode() + body)
                text = _all_of(line)
        except (OSError, ValueError) as error:
            raise _Lost(error, is_sent) from error
        status, _, answer = text.partition(b"\r\n\r\n")
        if status.split(b" ")[1:2] != [b"200"]:
            raise _Lost(status[:80] + b" " + answer[:200], is_sent)
        return answer

    def _context(self, voter: Voter) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.check_hostname = False
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | X509_V_FLAG_NO_CHECK_TIME
        context.load_cert_chain(*self._own)
        context.load_verify_locations(cadata=ssl.PEM_cert_to_DER_cert(voter.certificate.strip()))
        return context


def _all_of(line: ssl.SSLSocket) -> bytes:
    text = b""
    while piece := line.recv(64 * 1024):
        text += piece
        if len(text) > MOST:
            raise ValueError(f"more than {MOST} bytes")
    return text


def _base64(key: bytes) -> str:
    return base64.b64encode(key).decode()
