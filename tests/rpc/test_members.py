"""Who gets in at the port: members, told by their keys and by nothing else."""

import datetime
import socket
import ssl
import time
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from mcv.errors import CallLost, NotMember, NotThatNode, PeerUnreachable
from mcv.rpc import pki
from mcv.rpc.auth import Caller
from mcv.rpc.peers import Address, Peers
from mcv.rpc.pki import Identity
from tests.rpc import raw
from tests.rpc.conftest import Wire, ask


def handshake(wire: Wire, context: ssl.SSLContext) -> bytes:
    """Connect to n1 as a stranger would and send a call; what comes back."""
    data = raw.message(raw.request())
    with socket.create_connection(("127.0.0.1", wire.port), 5) as sock:
        try:
            with context.wrap_socket(sock) as secured:
                secured.sendall(data)
                return raw.read(secured, 40)
        except (ssl.SSLError, ConnectionError):
            return b""


def signing_pair(directory: Path) -> tuple[Identity, Identity]:
    """A certificate that may sign others, as none of ours may, and one that it signed."""
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, one)]) for one in ("ca", "n3")]
    made = []
    for number, (key, name) in enumerate(zip(keys, names, strict=True)):
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(names[0])
            .public_key(key.public_key())
            .serial_number(number + 1)
            .not_valid_before(pki.BEGIN)
            .not_valid_after(pki.END)
            .add_extension(x509.BasicConstraints(ca=number == 0, path_length=None), critical=True)
            .sign(keys[0], hashes.SHA256())
        )
        made.append(written(Identity("n3", directory / f"made{number}"), key, certificate))
    return made[0], made[1]


def written(
    identity: Identity, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate
) -> Identity:
    identity.directory.mkdir()
    identity.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    identity.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return identity


def test_a_member_is_known_by_its_name_in_the_document(wire: Wire) -> None:
    answer = wire.call(name="web1")

    assert answer == {"name": "web1"}
    assert wire.calls[0][0] == Caller("peer", "n2")


def test_the_name_in_a_certificate_counts_for_nothing(wire: Wire) -> None:
    liar = wire.identity("n1", "liar")
    wire.members["n9"] = liar.certificate_pem

    ask(wire.peers(liar))

    assert wire.calls[0][0].name == "n9"


def test_the_context_arrives_beside_the_parameters(wire: Wire) -> None:
    wire.peers().call("n1", "say", params={"a": 1}, context={"epoch": 3}, timeout=5)

    assert wire.calls[0][1:] == ("say", {"a": 1}, {"epoch": 3})


def test_a_key_that_is_no_members_is_told_so(wire: Wire) -> None:
    peers = wire.peers(wire.identity("n2", "other"))

    for _again in range(20):
        with pytest.raises(NotMember, match="does not accept this node's certificate"):
            ask(peers)
    assert wire.calls == []


def test_a_certificate_that_a_member_signed_is_no_members(wire: Wire, tmp_path: Path) -> None:
    member = wire.identities["n2"]
    key = serialization.load_pem_private_key(member.key.read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    forged = written(Identity("n2", tmp_path / "forged"), key, pki.self_signed("n2", key))

    with pytest.raises((NotMember, PeerUnreachable)):
        ask(wire.peers(forged))
    assert wire.calls == []


def test_a_member_whose_certificate_may_sign_vouches_for_nobody(wire: Wire, tmp_path: Path) -> None:
    authority, leaf = signing_pair(tmp_path)
    wire.members["n3"] = authority.certificate_pem

    with pytest.raises(PeerUnreachable):
        ask(wire.peers(leaf))
    assert wire.calls == []


def test_what_an_expected_certificate_has_signed_is_not_that_node(
    wire: Wire, tmp_path: Path
) -> None:
    authority, leaf = signing_pair(tmp_path)
    wire.port = wire.server.start_peers("127.0.0.1", 0, leaf, lambda: wire.members)

    with pytest.raises(NotThatNode):
        ask(wire.peers(expected=authority.certificate_pem))
    assert wire.calls == []


def test_without_a_certificate_there_is_no_answer(wire: Wire) -> None:
    context = raw.stranger()

    assert handshake(wire, context) == b""
    assert wire.calls == []


def test_a_member_on_tls_1_3_gets_an_answer_by_hand(wire: Wire) -> None:
    context = raw.stranger(wire.identities["n2"])

    assert handshake(wire, context) != b""
    assert len(wire.calls) == 1


def test_tls_1_2_is_not_spoken(wire: Wire) -> None:
    context = raw.stranger(wire.identities["n2"])
    context.maximum_version = ssl.TLSVersion.TLSv1_2

    assert handshake(wire, context) == b""
    assert wire.calls == []


def test_a_node_that_shows_another_certificate_is_not_that_node(wire: Wire) -> None:
    expected = wire.identity("n1", "real").certificate_pem

    with pytest.raises(NotThatNode, match="another certificate"):
        ask(wire.peers(expected=expected))
    assert wire.calls == []


@pytest.mark.parametrize(("begin", "end"), [(2001, 2002), (2901, 2902)])
def test_dates_decide_nothing(wire: Wire, tmp_path: Path, begin: int, end: int) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    dates = (datetime.datetime(year, 1, 1, tzinfo=datetime.UTC) for year in (begin, end))
    certificate = pki.self_signed("n3", key, *dates)
    identity = written(Identity("n3", tmp_path / "dated"), key, certificate)
    wire.members["n3"] = identity.certificate_pem

    ask(wire.peers(identity))
    port = wire.server.start_peers("127.0.0.1", 0, identity, lambda: wire.members)
    there = Peers(
        wire.identities["n2"], lambda _node: Address("127.0.0.1", port, identity.certificate_pem)
    )
    ask(there)

    assert [caller.name for caller, *_rest in wire.calls] == ["n3", "n2"]


def test_a_member_that_is_removed_gets_no_answer_on_its_open_connection(wire: Wire) -> None:
    peers = wire.peers()
    ask(peers)
    del wire.members["n2"]

    with pytest.raises(CallLost):
        ask(peers, a=2)
    with pytest.raises(NotMember):
        ask(peers, a=3)
    assert len(wire.calls) == 1


def test_a_removed_members_open_connection_is_closed_when_the_document_changes(wire: Wire) -> None:
    peers = wire.peers()
    ask(peers)
    del wire.members["n2"]

    wire.server.close_untrusted()
    time.sleep(0.1)

    with pytest.raises(NotMember):
        ask(peers, a=2)
    assert len(wire.calls) == 1


def test_members_stay_connected_when_another_one_is_removed(wire: Wire) -> None:
    third = wire.identity("n3")
    wire.members["n3"] = third.certificate_pem
    ask(wire.peers(third))
    peers = wire.peers()
    ask(peers)
    del wire.members["n3"]

    wire.server.close_untrusted()

    assert ask(peers, a=2) == {"a": 2}


def test_a_certificate_that_cannot_be_read_locks_nobody_else_out(wire: Wire) -> None:
    wire.members["n0"] = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    wire.members["n3"] = "nonsense"

    assert wire.call(a=1) == {"a": 1}


def flood(wire: Wire, number: int, host: str) -> list[socket.socket]:
    """Silent connections to the cluster's port, from one address."""
    strangers = []
    for _ in range(number):
        source = (host, 0)
        strangers.append(socket.create_connection(("127.0.0.1", wire.port), 5, source))
    return strangers


def is_open(sock: socket.socket) -> bool:
    """Whether the server has kept the connection."""
    sock.setblocking(False)
    try:
        return sock.recv(1) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False


def test_silent_strangers_cost_a_member_nothing(
    patient_wire: Wire, caplog: pytest.LogCaptureFixture
) -> None:
    wire = patient_wire
    strangers = [sock for last in range(2, 12) for sock in flood(wire, 20, f"127.0.0.{last}")]

    assert wire.call(a=1) == {"a": 1}
    until = time.monotonic() + 20
    while sum(map(is_open, strangers)) > 32 and time.monotonic() < until:
        time.sleep(0.05)
    kept = [number for number, sock in enumerate(strangers) if is_open(sock)]
    assert len(kept) <= 32 and kept[-1] == len(strangers) - 1
    assert sum("refused connections" in line for line in caplog.messages) == 1
    for sock in strangers:
        sock.close()


def test_silent_strangers_of_one_address_take_no_place_of_another_s(patient_wire: Wire) -> None:
    wire = patient_wire
    first = flood(wire, 1, "127.0.0.2")
    crowd = flood(wire, 40, "127.0.0.3")
    until = time.monotonic() + 20
    while sum(map(is_open, crowd)) > 8 and time.monotonic() < until:
        time.sleep(0.05)

    assert is_open(first[0])
    assert [is_open(sock) for sock in crowd] == [False] * 32 + [True] * 8
    for sock in first + crowd:
        sock.close()


def test_at_most_64_connections_are_open_and_one_more_is_refused(patient_wire: Wire) -> None:
    wire = patient_wire
    context = raw.stranger(wire.identities["n2"])
    held = []
    for _ in range(64):
        sock = socket.create_connection(("127.0.0.1", wire.port), 5)
        held.append(context.wrap_socket(sock))
        held[-1].sendall(raw.message(raw.request()))
        assert raw.answer(held[-1]) == {}

    with pytest.raises(PeerUnreachable):
        wire.call()
    held.pop().close()
    time.sleep(0.2)

    assert wire.call(a=1) == {"a": 1}
    assert wire.client().call("say", a=2) == {"a": 2}
    for one in held:
        one.close()
