"""TLS 1.3 on both sides, trusting exactly the certificates of the members: a peer is its key."""

import ssl
from collections.abc import Iterable, Mapping
from pathlib import Path

from mcv.rpc.pki import Identity
from mcv.system import tls_context
from mcv.system.tls_context import der_of as der_of


def server_context(identity: Identity, trusted: Iterable[str]) -> ssl.SSLContext:
    """For the side that is called; trusted are certificates as PEM."""
    context = _context(ssl.PROTOCOL_TLS_SERVER, identity, trusted)
    # Nothing but answers arrives at a caller: what an idle connection has to read is its end.
    context.num_tickets = 0
    return context


def client_context(
    identity: Identity, expected: str, certificate: Path | None = None
) -> ssl.SSLContext:
    """Make the calling side's context: it accepts exactly the expected certificate.

    It shows the identity's own certificate, or another one of the same key.
    """
    return _context(ssl.PROTOCOL_TLS_CLIENT, identity, [expected], certificate)


def _context(
    side: int, identity: Identity, trusted: Iterable[str], certificate: Path | None = None
) -> ssl.SSLContext:
    return tls_context.context(side, certificate or identity.certificate, identity.key, trusted)


def name_of(shown: bytes | None, trusted: Mapping[str, str]) -> str:
    """Return the member with the presented certificate (DER bytes); empty if no member has it.

    The certificate's subject is ignored: only its bytes identify the member.
    """
    for name, pem in trusted.items():
        try:
            if shown and der_of(pem) == shown:
                return name
        except ValueError:
            continue
    return ""


def refuses_us(error: BaseException | None) -> bool:
    """Whether what ended a read was the other side's alert that our certificate is not taken.

    In TLS 1.3 it comes after the handshake, so encrypted, so from that very node.
    """
    while error is not None and not isinstance(error, ssl.SSLError):
        error = error.__cause__
    said = (error.reason or "") if error is not None else ""
    words = ("UNKNOWN_CA", "CERTIFICATE", "ACCESS_DENIED")
    return "ALERT" in said and any(word in said for word in words)
