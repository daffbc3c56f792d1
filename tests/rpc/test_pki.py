"""A node's key: made once, readable by its owner alone."""

import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from mcv.errors import NotFound, Refused
from mcv.rpc import pki


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_key_is_for_its_owner_alone(tmp_path: Path) -> None:
    directory = tmp_path / "pki"
    directory.mkdir(mode=0o755)

    identity = pki.create("n1", directory)

    assert mode(directory) == 0o700
    assert mode(identity.key) == 0o600
    assert mode(identity.certificate) == 0o600


def test_a_certificate_is_the_keys_own_and_outlives_every_clock(tmp_path: Path) -> None:
    identity = pki.create("n1", tmp_path / "pki")

    certificate = x509.load_pem_x509_certificate(identity.certificate_pem.encode())
    key = serialization.load_pem_private_key(identity.key.read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert key.curve.name == "secp256r1"
    assert certificate.public_key() == key.public_key()
    assert certificate.subject.rfc4514_string() == "CN=n1"
    assert certificate.not_valid_before_utc.year == 1970
    assert certificate.not_valid_after_utc.year == 9999


def test_a_key_is_not_overwritten(tmp_path: Path) -> None:
    identity = pki.create("n1", tmp_path / "pki")
    before = identity.key.read_bytes()

    with pytest.raises(Refused, match="exists already"):
        pki.create("n1", tmp_path / "pki")

    assert identity.key.read_bytes() == before
    assert pki.load("n1", tmp_path / "pki") == identity


def test_where_there_is_no_key_it_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        pki.load("n1", tmp_path)


def test_the_certificate_for_etcd_is_of_the_same_key_and_for_one_address(tmp_path: Path) -> None:
    identity = pki.create("n1", tmp_path)

    made = x509.load_pem_x509_certificate(pki.certificate_at(identity, "fe80::1%eth0").encode())

    own = x509.load_pem_x509_certificate(identity.certificate_pem.encode())
    assert made.public_key() == own.public_key()
    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(each) for each in names.get_values_for_type(x509.IPAddress)] == ["fe80::1"]
