"""Calls from daemon to daemon: the caller knows what may have been carried out."""

import contextlib
import socket
import ssl
import threading
import time
from typing import Any

import pytest

from mcv.errors import CallLost, NotFound, NotThatNode, PeerUnreachable, Refused, wait_for
from mcv.rpc import peers, server, tls
from mcv.rpc import wire as wire_module
from mcv.rpc.peers import Address, Peers
from tests.rpc import raw
from tests.rpc.conftest import Wire, ask


def listener(backlog: int = 5) -> socket.socket:
    return socket.create_server(("127.0.0.1", 0), backlog=backlog)


def peers_at(sock: socket.socket, wire: Wire, **settings: float) -> Peers:
    address = Address("127.0.0.1", sock.getsockname()[1], wire.members["n1"])
    return Peers(wire.identities["n2"], lambda _node: address, **settings)


def test_nobody_at_the_port_is_unreachable_at_once(wire: Wire) -> None:
    wire.server.stop_peers()

    with pytest.raises(PeerUnreachable, match=r"n1 does not answer \(connection refused\)\."):
        wire.call()


def test_nobody_is_told_to_declare_a_silent_node_dead_but_by_who_looked_for_its_host(
    wire: Wire,
) -> None:
    wire.server.stop_peers()
    peers = wire.peers()

    with pytest.raises(PeerUnreachable) as plain:
        ask(peers)
    peers.advice = lambda node: f"Look at {node}."
    with pytest.raises(PeerUnreachable) as advised:
        ask(peers)

    assert plain.value.hint == wait_for("n1") and "--confirm-dead" not in plain.value.hint
    assert advised.value.hint == "Look at n1."


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


@pytest.mark.parametrize("times", [1, 2, 3])
def test_a_listener_that_hangs_up_before_it_knows_the_caller_is_called_again(
    wire: Wire, times: int
) -> None:
    with listener() as crowded:
        left = [times]

        def serve() -> None:
            while left[0]:
                crowded.accept()[0].close()
                left[0] -= 1
            with contextlib.suppress(OSError):
                caller = crowded.accept()[0]
                served = socket.create_connection(("127.0.0.1", wire.port))
                threading.Thread(target=pumped, args=(caller, served), daemon=True).start()
                pumped(served, caller)

        threading.Thread(target=serve, daemon=True).start()
        if times < 3:
            assert ask(peers_at(crowded, wire, connect_timeout=5), a=1) == {"a": 1}
        else:
            with pytest.raises(PeerUnreachable, match="n1 does not answer"):
                ask(peers_at(crowded, wire, connect_timeout=5))


def pumped(source: socket.socket, target: socket.socket) -> None:
    """Carry bytes from one socket to the other until either ends."""
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)


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


def test_the_kernel_of_either_side_sees_a_dead_host_in_seconds(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No packet can be lost here; tests/lab/test_kills.py has the host that dies."""
    watched: list[socket.socket] = []

    def spy(sock: socket.socket) -> None:
        wire_module.watch(sock)
        seconds = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) / 1000
        idle, interval, count = (
            sock.getsockopt(socket.IPPROTO_TCP, option)
            for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
        )
        assert seconds <= 15 and idle + interval * count <= 15
        watched.append(sock)

    for module in (peers, server):
        monkeypatch.setattr(module, "watch", spy)

    assert wire.call("say", a=1) == {"a": 1}
    assert len(watched) == 2


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
    def find(_node: str) -> Address:
        raise AssertionError("the call was about to leave")

    with pytest.raises(Refused):
        ask(Peers(wire.identities["n2"], find), name=name)


def test_what_is_no_name_is_refused_by_the_node_that_is_called_too(wire: Wire) -> None:
    data = raw.message(raw.request(params=["say", {"name": "../etc"}, {}]))

    sock = socket.create_connection(("127.0.0.1", wire.port), 5)
    with raw.stranger(wire.identities["n2"]).wrap_socket(sock) as secured:
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


def test_few_connections_to_a_node_begin_at_once(wire: Wire) -> None:
    """A node hangs up on the ninth of one address that is not authenticated."""
    peers, begun, most = wire.peers(), [0], [0]
    dial = peers._dial

    def slow(*arguments: Any, **named: Any) -> ssl.SSLSocket:
        begun[0] += 1
        most[0] = max(most[0], begun[0])
        time.sleep(0.05)
        begun[0] -= 1
        return dial(*arguments, **named)

    peers._dial = slow  # type: ignore[method-assign]
    threads = [threading.Thread(target=ask, args=(peers,)) for _ in range(20)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()

    assert 1 < most[0] <= 6
