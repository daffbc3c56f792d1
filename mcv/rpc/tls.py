"""TLS 1.3 on both sides, trusting exactly the certificates of the members: a peer is its key."""

import logging
import ssl
from collections.abc import Iterable, Mapping
from pathlib import Path

from mcv.rpc.pki import Identity

log = logging.getLogger(__name__)

X509_V_FLAG_NO_CHECK_TIME = 0x200000


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
    context = ssl.SSLContext(side)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | X509_V_FLAG_NO_CHECK_TIME
    context.load_cert_chain(certificate or identity.certificate, identity.key)
    for pem in trusted:
        try:
            context.load_verify_locations(cadata=der_of(pem))
        except (ssl.SSLError, ValueError):
            log.warning("a certificate in the document cannot be read")
    return context


def der_of(pem: str) -> bytes:
    """A certificate as bytes, the form in which two of them are compared; ValueError if none."""
    return ssl.PEM_cert_to_DER_cert(pem.strip())


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
