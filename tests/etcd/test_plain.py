"""The handler's own client of etcd answers as the daemon's does, against a real etcd."""

import socket
import ssl
from collections.abc import Iterator

import pytest

from mcv.etcd.client import Etcd
from mcv.etcd.requests import put
from mcv.ha.env import Answer, Entry, NothingNewer, Put, Txn, Unchanged, Unknown
from mcv.ha.plain_etcd import PlainEtcd, Voter
from tests.etcd.server import Servers, free_port


def voter(servers: Servers, name: str = "n1", port: int = 0) -> Voter:
    member = servers[name]
    address, certificate = member.endpoint.address, member.certificate.read_text()
    return Voter(name, address, port or member.port, certificate)


def plain(servers: Servers, prefix: bytes, *voters: Voter) -> PlainEtcd:
    own = servers.members[0]
    files = (str(own.certificate), str(own.identity.key))
    return PlainEtcd(prefix.decode(), voters or [voter(servers)], *files)


def test_what_is_written_is_read_with_its_revision(
    servers: Servers, etcd: Etcd, prefix: bytes
) -> None:
    client = plain(servers, prefix)

    written = client.txn(Txn(puts=(Put("lease/n1", "ä"),), reads=("lease/",)))
    etcd.change([], [put(prefix + b"lease/n2", b"")])
    read = client.txn(Txn(reads=("lease/", "head")))

    assert written.holds
    assert written.entries == {"lease/n1": Entry("ä", written.revision)}
    assert read == Answer(
        True,
        written.revision + 1,
        {"lease/n1": Entry("ä", written.revision), "lease/n2": Entry("", written.revision + 1)},
    )


def test_comparisons_hold_or_nothing_is_written(servers: Servers, prefix: bytes) -> None:
    client = plain(servers, prefix)
    first = client.txn(Txn((Unchanged("stale/a", 0),), (Put("stale/a", "1"),)))
    again = client.txn(Txn((Unchanged("stale/a", 0),), (Put("stale/a", "2"),), ("stale/",)))
    newer = client.txn(Txn((NothingNewer("stale/", first.revision - 1),), (Put("b", "3"),)))
    none = client.txn(Txn((NothingNewer("stale/", first.revision),), (Put("b", "4"),), ("b",)))

    assert (first.holds, again.holds, newer.holds, none.holds) == (True, False, False, True)
    assert again.entries["stale/a"].value == "1"
    assert none.entries["b"].value == "4"


def test_a_key_is_deleted_at_its_revision_alone(servers: Servers, prefix: bytes) -> None:
    client = plain(servers, prefix)
    made = client.txn(Txn(puts=(Put("stale/a", "1"),)))

    late = client.txn(Txn((Unchanged("stale/a", made.revision - 1),), (Put("stale/a", None),)))
    gone = client.txn(Txn((Unchanged("stale/a", made.revision),), (Put("stale/a", None),), ("s",)))

    assert (late.holds, gone.holds, gone.entries) == (False, True, {})


def test_a_member_that_does_not_listen_is_passed_over(servers: Servers, prefix: bytes) -> None:
    dead = voter(servers, port=free_port())
    client = plain(servers, prefix, dead, voter(servers))

    assert client.txn(Txn(puts=(Put("a", "1"),))).holds

    with pytest.raises(Unknown, match="n1: "):
        plain(servers, prefix, dead).txn(Txn(reads=("a",)))


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the members to which a line was made."""
    made: list[str] = []
    line = PlainEtcd._line

    def noted(client: PlainEtcd, voter: Voter) -> ssl.SSLSocket:
        made.append(voter.name)
        return line(client, voter)

    monkeypatch.setattr(PlainEtcd, "_line", noted)
    return made


def test_one_line_serves_several_requests(
    servers: Servers, prefix: bytes, lines: list[str]
) -> None:
    client = plain(servers, prefix)
    client.connect()
    written = client.txn(Txn(puts=(Put("a", "1" * 100_000),)))
    read = client.txn(Txn(reads=("a",)))

    assert read.entries == {"a": Entry("1" * 100_000, written.revision)}
    assert lines == ["n1"]


def test_a_line_that_broke_is_made_anew(servers: Servers, prefix: bytes, lines: list[str]) -> None:
    client = plain(servers, prefix)
    client.connect()
    assert client._kept is not None
    client._kept[1].shutdown(socket.SHUT_RDWR)

    with pytest.raises(Unknown):  # it may have been sent
        client.txn(Txn(puts=(Put("a", "1"),)))

    assert client.txn(Txn(puts=(Put("a", "2"),), reads=("a",))).entries["a"].value == "2"
    assert lines == ["n1", "n1"]


def test_a_member_that_is_not_there_when_a_line_is_made_is_asked_last(
    servers: Servers, prefix: bytes, lines: list[str]
) -> None:
    client = plain(servers, prefix, voter(servers, "n1", free_port()), voter(servers))
    client.connect()
    assert client.txn(Txn(puts=(Put("a", "1"),))).holds
    assert len(lines) == 2


@pytest.fixture
def two() -> Iterator[Servers]:
    """Two members, of which a majority is both."""
    servers = Servers("n1", "n2")
    try:
        servers.start()
        yield servers
    finally:
        servers.stop()


def test_without_a_majority_a_write_is_not_known_and_a_stranger_is_not_believed(
    two: Servers, prefix: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mcv.ha.plain_etcd.PATIENCE", 3.0)
    assert plain(two, prefix, voter(two, "n1")).txn(Txn(puts=(Put("a", "1"),))).holds
    stranger = Voter("n1", two["n1"].endpoint.address, two["n1"].port, voter(two, "n2").certificate)
    with pytest.raises(Unknown, match="certificate verify failed"):
        plain(two, prefix, stranger).txn(Txn(reads=("a",)))

    monkeypatch.setattr("mcv.ha.plain_etcd.PATIENCE", 0.5)
    two["n2"].kill()
    with pytest.raises(Unknown):
        plain(two, prefix, voter(two, "n1")).txn(Txn(reads=("a",)))
