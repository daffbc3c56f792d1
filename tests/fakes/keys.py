"""Signatures without keys: whoever knows a certificate signs as its node."""

import hashlib


class FakeKeys:
    """The door to a node's key; what is signed names the certificate and the text."""

    def __init__(self, certificate: str) -> None:
        self._certificate = certificate

    def sign(self, text: str) -> str:
        return signature(self._certificate, text)

    def is_signed(self, certificate: str, text: str, signature_: str) -> bool:
        return signature_ == signature(certificate, text)


def signature(certificate: str, text: str) -> str:
    return hashlib.sha256(f"{certificate}\n{text}".encode()).hexdigest()
