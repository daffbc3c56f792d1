"""A TLS context that trusts exactly some certificates: TLS 1.3, both sides show theirs."""

import logging
import ssl
from collections.abc import Iterable
from pathlib import Path

log = logging.getLogger(__name__)

X509_V_FLAG_NO_CHECK_TIME = 0x200000


def context(side: int, certificate: Path, key: Path, trusted: Iterable[str]) -> ssl.SSLContext:
    """For one side; `trusted` are certificates as PEM. Raises OSError, ssl.SSLError among it."""
    context = ssl.SSLContext(side)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | X509_V_FLAG_NO_CHECK_TIME
    context.load_cert_chain(certificate, key)
    for pem in trusted:
        try:
            context.load_verify_locations(cadata=der_of(pem))
        except (ssl.SSLError, ValueError):
            log.warning("a certificate in the document cannot be read")
    return context


def der_of(pem: str) -> bytes:
    """A certificate as bytes, the form in which two of them are compared; ValueError if none."""
    return ssl.PEM_cert_to_DER_cert(pem.strip())
