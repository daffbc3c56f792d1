"""A node's key and the certificate that it signs itself; neither ever leaves but the latter."""

import base64
import datetime
import functools
import ipaddress
import os
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from mcv.errors import McvError, NotFound, Refused, Unreadable
from mcv.system import files

KEY_HINT = (
    "Bring the directory back from a backup, then: systemctl restart mcvd. Without one, on "
    "another node: mcv node offline NODE --confirm-dead, mcv cluster remove-node; then join anew."
)

# Dates decide nothing: no clock of a cluster needs to be right for its nodes to talk.
BEGIN = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
END = datetime.datetime(9999, 12, 31, 23, 59, 59, tzinfo=datetime.UTC)


@dataclass(frozen=True)
class Identity:
    """This node's identity on the wire: its name, and where its key and certificate lie."""

    node: str
    directory: Path

    @property
    def key(self) -> Path:
        return self.directory / "key.pem"

    @property
    def certificate(self) -> Path:
        return self.directory / "certificate.pem"

    @property
    def certificate_pem(self) -> str:
        """The certificate's text, "" where it cannot be read: `damage` tells why."""
        try:
            return files.read_or_none(self.certificate) or ""
        except Unreadable:
            return ""

    def damage(self) -> McvError | None:
        """Why key and certificate cannot be used; None where they can.

        Neither is ever made anew: the other members know this node by them.
        """
        try:
            key, certificate = files.read_or_none(self.key), files.read_or_none(self.certificate)
            return _mismatch(self.key, key or "", certificate or "")
        except Unreadable as error:
            return Unreadable(error.message, KEY_HINT)


def _mismatch(path: Path, key: str, certificate: str) -> McvError | None:
    try:
        private = serialization.load_pem_private_key(key.encode(), None)
        public = x509.load_pem_x509_certificate(certificate.encode()).public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        return Unreadable(f"{path} or its certificate cannot be read: {error}.", KEY_HINT)
    if private.public_key() != public:
        return Unreadable(f"{path} is not the key of the certificate beside it.", KEY_HINT)
    return None


def create(node: str, directory: Path) -> Identity:
    """Make a key and a certificate for a node; refused where there is a key already."""
    identity = Identity(node, directory)
    if identity.key.exists():
        raise Refused(f"{identity.key} exists already.")
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.chmod(directory, 0o700)
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = self_signed(node, key)
    # The key comes last: where it lies, the certificate lies too.
    files.write_atomically(
        identity.certificate, certificate.public_bytes(serialization.Encoding.PEM).decode()
    )
    files.write_atomically(
        identity.key,
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ).decode(),
    )
    return identity


def load_or_create(node: str, directory: Path) -> Identity:
    """This node's identity, made at its first start."""
    if os.path.lexists(directory / "key.pem"):
        return load(node, directory)
    return create(node, directory)


def load(node: str, directory: Path) -> Identity:
    """The identity that was made here; raise NotFound where there is none."""
    identity = Identity(node, directory)
    if not (os.path.lexists(identity.key) and os.path.lexists(identity.certificate)):
        raise NotFound(f"{directory} holds no key of this node.")
    return identity


def self_signed(
    node: str,
    key: ec.EllipticCurvePrivateKey,
    begin: datetime.datetime = BEGIN,
    end: datetime.datetime = END,
) -> x509.Certificate:
    """A certificate for a key, signed by itself; it may sign no other."""
    return _builder(node, key, begin, end).sign(key, hashes.SHA256())


def certificate_at(identity: Identity, address: str) -> str:
    """A second certificate from a node's key, for an address: etcd knows its peers by both.

    As PEM. Made anew wherever the address is another.
    """
    return _certified(identity.node, _private_key(identity), address)


def key_and_certificate(name: str, address: str) -> tuple[str, str]:
    """A new key and its certificate for an address, as PEM, for a machine that runs etcd alone."""
    key = ec.generate_private_key(ec.SECP256R1())
    text = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return text.decode(), _certified(name, key, address)


def _certified(name: str, key: ec.EllipticCurvePrivateKey, address: str) -> str:
    at = x509.IPAddress(ipaddress.ip_address(address.partition("%")[0]))
    built = _builder(name, key, BEGIN, END).add_extension(
        x509.SubjectAlternativeName([at]), critical=False
    )
    return built.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def is_certificate_at(identity: Identity, pem: str, address: str) -> bool:
    """Whether a certificate is one of a node's key for an address, and for no other."""
    try:
        made = x509.load_pem_x509_certificate(pem.encode())
        names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound):
        return False
    addresses = [str(each) for each in names.get_values_for_type(x509.IPAddress)]
    is_own = made.public_key() == _private_key(identity).public_key()
    return is_own and addresses == [address.partition("%")[0]]


def _builder(
    node: str,
    key: ec.EllipticCurvePrivateKey,
    begin: datetime.datetime,
    end: datetime.datetime,
) -> x509.CertificateBuilder:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, node)])
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    )


def _private_key(identity: Identity) -> ec.EllipticCurvePrivateKey:
    if damage := identity.damage():
        raise damage
    key = serialization.load_pem_private_key(identity.key.read_bytes(), password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


class Keys:
    """This node's key, to sign with, and the members' certificates, to check signatures by."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity

    @functools.cached_property
    def _key(self) -> ec.EllipticCurvePrivateKey:
        return _private_key(self._identity)

    def sign(self, text: str) -> str:
        """The signature of a text by this node's key."""
        signature = self._key.sign(text.encode(), ec.ECDSA(hashes.SHA256()))
        return base64.b64encode(signature).decode()

    def is_signed(self, certificate: str, text: str, signature: str) -> bool:
        """Whether the key of a certificate has signed a text."""
        try:
            key = _public_key(certificate)
            key.verify(base64.b64decode(signature), text.encode(), ec.ECDSA(hashes.SHA256()))
        except (InvalidSignature, ValueError):
            return False
        return True


@functools.lru_cache(maxsize=64)
def _public_key(certificate: str) -> ec.EllipticCurvePublicKey:
    """The key of a certificate; raise ValueError for what is none."""
    key = x509.load_pem_x509_certificate(certificate.encode()).public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise ValueError("The certificate is of another kind of key.")
    return key
