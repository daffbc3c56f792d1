"""Daemon to daemon: a peer is its key, and a caller knows what may have been carried out."""

import datetime
import socket
import ssl
import threading
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from mcv.errors import CallLost, NotFound, NotMember, NotThatNode, PeerUnreachable, Refused
from mcv.rpc import pki, tls
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


def stranger(identity: Identity | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if identity:
        context.load_cert_chain(identity.certificate, identity.key)
    return context


def listener(backlog: int = 5) -> socket.socket:
    return socket.create_server(("127.0.0.1", 0), backlog=backlog)


def peers_at(sock: socket.socket, wire: Wire, **settings: float) -> Peers:
    address = Address("127.0.0.1", sock.getsockname()[1], wire.members["n1"])
    return Peers(wire.identities["n2"], lambda _node: address, **settings)


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
    again = pki.self_signed("n2", key)
    forged = Identity("n2", tmp_path / "forged")
    forged.directory.mkdir()
    forged.key.write_bytes(member.key.read_bytes())
    forged.certificate.write_bytes(again.public_bytes(serialization.Encoding.PEM))

    with pytest.raises((NotMember, PeerUnreachable)):
        ask(wire.peers(forged))
    assert wire.calls == []


def test_without_a_certificate_there_is_no_answer(wire: Wire) -> None:
    context = stranger()

    assert handshake(wire, context) == b""
    assert wire.calls == []


def test_a_member_on_tls_1_3_gets_an_answer_by_hand(wire: Wire) -> None:
    context = stranger(wire.identities["n2"])

    assert handshake(wire, context) != b""
    assert len(wire.calls) == 1


def test_tls_1_2_is_not_spoken(wire: Wire) -> None:
    context = stranger(wire.identities["n2"])
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
    identity = Identity("n3", tmp_path / "dated")
    identity.directory.mkdir()
    certificate = pki.self_signed("n3", key, *dates)
    identity.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    identity.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
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


def test_at_most_64_connections_are_open_and_one_more_is_refused(patient_wire: Wire) -> None:
    wire = patient_wire
    context = stranger(wire.identities["n2"])
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


def test_nobody_at_the_port_is_unreachable_at_once(wire: Wire) -> None:
    wire.server.stop_peers()

    with pytest.raises(PeerUnreachable, match=r"n1 does not answer \(connection refused\)\."):
        wire.call()


def test_a_host_that_accepts_and_says_nothing_is_unreachable_in_time(wire: Wire) -> None:
    with listener() as silent:
        begun = time.monotonic()

        with pytest.raises(PeerUnreachable, match="timed out"):
            ask(peers_at(silent, wire, connect_timeout=0.3))

        assert time.monotonic() - begun < 1


def test_a_daemon_that_hangs_after_the_handshake_is_unreachable_in_time(wire: Wire) -> None:
    with listener() as hung:
        context = tls.server_context(wire.identities["n1"], wire.members.values())

        def greet_and_hang() -> None:
            sock = hung.accept()[0]
            with context.wrap_socket(sock, server_side=True) as secured:
                raw.read(secured, 1000)

        threading.Thread(target=greet_and_hang, daemon=True).start()

        with pytest.raises(PeerUnreachable, match="timed out"):
            ask(peers_at(hung, wire, connect_timeout=0.5))


def test_garbage_instead_of_tls_is_unreachable(wire: Wire) -> None:
    with listener() as other:

        def answer_http() -> None:
            sock = other.accept()[0]
            sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            sock.close()

        threading.Thread(target=answer_http, daemon=True).start()

        with pytest.raises(PeerUnreachable):
            ask(peers_at(other, wire))


def test_a_call_without_an_answer_in_time_is_lost(wire: Wire) -> None:
    over = threading.Event()
    wire.until(over)
    begun = time.monotonic()

    with pytest.raises(CallLost, match=r"n1 gave no answer to wait \(timed out\)"):
        ask(wire.peers(), "wait", timeout=0.3)

    over.set()
    assert time.monotonic() - begun < 1
    assert len(wire.calls) == 1


def test_a_daemon_that_dies_with_the_call_under_way_leaves_it_lost(wire: Wire) -> None:
    over = threading.Event()
    wire.until(over)
    caught: list[BaseException] = []

    def call() -> None:
        try:
            wire.call("wait")
        except BaseException as error:
            caught.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    assert wire.begun.wait(5)
    wire.server.stop_peers(grace=0)
    thread.join(5)
    over.set()

    assert [type(error) for error in caught] == [CallLost]


def test_a_lost_call_spoils_no_later_one(wire: Wire) -> None:
    over = threading.Event()
    wire.until(over)
    peers = wire.peers()
    with pytest.raises(CallLost):
        ask(peers, "wait", timeout=0.2)
    over.set()

    assert ask(peers, a=1) == {"a": 1}


def test_a_daemon_that_restarted_is_called_anew(wire: Wire) -> None:
    peers = wire.peers()
    ask(peers)
    wire.server.stop_peers()
    wire.server.start_peers("127.0.0.1", wire.port, wire.identities["n1"], lambda: wire.members)

    assert ask(peers, a=2) == {"a": 2}
    assert len(wire.calls) == 2


def test_an_idle_connection_is_used_again(wire: Wire) -> None:
    asked = 0

    def trusted() -> dict[str, str]:
        nonlocal asked
        asked += 1
        return wire.members

    port = wire.server.start_peers("127.0.0.1", 0, wire.identities["n1"], trusted)
    address = Address("127.0.0.1", port, wire.members["n1"])
    peers = Peers(wire.identities["n2"], lambda _node: address)
    ask(peers)
    first = asked

    ask(peers)

    assert asked == first + 1
    peers.close()


def test_a_connection_to_a_node_that_got_another_key_is_not_used_again(wire: Wire) -> None:
    certificate = wire.members["n1"]
    peers = Peers(wire.identities["n2"], lambda _node: Address("127.0.0.1", wire.port, certificate))
    ask(peers)
    certificate = wire.identity("n1", "new").certificate_pem

    with pytest.raises(NotThatNode):
        ask(peers)


def test_many_threads_may_call_at_once(wire: Wire) -> None:
    peers = wire.peers()
    answers: list[int] = []

    def call(number: int) -> None:
        answers.extend(ask(peers, number=number + again)["number"] for again in range(10))

    threads = [threading.Thread(target=call, args=(100 * one,)) for one in range(16)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()

    assert sorted(answers) == sorted(100 * one + again for one in range(16) for again in range(10))


@pytest.mark.parametrize("name", ["Web1", "../etc", "a" * 64, "web1\n", 7, ["web1"]])
def test_what_is_no_name_does_not_leave_for_another_node(wire: Wire, name: object) -> None:
    with pytest.raises(Refused):
        wire.call(name=name)

    assert wire.calls == []


def test_what_is_no_name_is_refused_by_the_node_that_is_called_too(wire: Wire) -> None:
    data = raw.message(raw.request(params=["say", {"name": "../etc"}, {}]))

    sock = socket.create_connection(("127.0.0.1", wire.port), 5)
    with stranger(wire.identities["n2"]).wrap_socket(sock) as secured:
        secured.sendall(data)
        answer = raw.answer(secured)

    assert answer["class"] == "Refused"
    assert wire.calls == []


def test_a_node_that_is_not_in_the_document_is_not_found(wire: Wire) -> None:
    def find(node: str) -> Address:
        raise NotFound(f"There is no node {node}.")

    with pytest.raises(NotFound):
        ask(Peers(wire.identities["n2"], find))


def test_a_port_that_is_taken_is_refused_in_words(wire: Wire) -> None:
    with listener() as other:
        port = other.getsockname()[1]

        with pytest.raises(Refused, match=f"cannot listen on 127.0.0.1 port {port}"):
            wire.server.start_peers("127.0.0.1", port, wire.identities["n1"], dict)
