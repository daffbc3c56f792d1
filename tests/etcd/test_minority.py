"""A minority of real voters: what is refused says who is missing within 10 s, reads answer in 3."""

import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from mcv.cluster import etcd_lost, etcd_store, members
from mcv.consensus.etcd.quorum import silent_of
from mcv.drivers.etcd_local import LocalEtcd
from mcv.errors import McvError, PeerUnreachable
from mcv.etcd.client import Etcd
from mcv.etcd.members import Upkeep
from mcv.status import cluster as status
from mcv.status import vms
from mcv.vm import create, power
from tests.etcd.server import Servers
from tests.fakes.cluster import FakeCluster

NAMES = ("n1", "n2", "n3")
REFUSED, READ = 10.0, 3.0  # s
WORDS = "2 of 3 are needed, n2 and n3 do not answer"


class WithRealEtcd(FakeCluster):
    """Nodes whose etcd is a real one, each voter with the patience of a daemon."""

    def __init__(self, directory: Path, servers: Servers) -> None:
        self.servers = servers
        super().__init__(directory, NAMES)
        for name in NAMES:
            self.boot(name)
            self.look(name)

    def boot(self, name: str, first: Any = None) -> Any:
        self.etcd = cast(Any, Etcd(self.servers.gateway(1.0)))
        return super().boot(name, first)

    def _reach_etcd(self, name: str, request: str) -> None:
        """What cannot be reached is found out by asking."""

    def _silent_voters(self) -> list[str]:
        gateway = self.servers.gateway(1.0)
        return silent_of(Upkeep(gateway), gateway.endpoints)


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    servers = Servers(*NAMES)
    try:
        servers.start()
        yield servers
    finally:
        servers.stop()


@pytest.fixture
def cluster(tmp_path: Path, servers: Servers) -> Iterator[FakeCluster]:
    """Three nodes, the document in etcd, web1 on n1."""
    cluster = WithRealEtcd(tmp_path, servers)
    for name in NAMES:
        propose(cluster, name, "node.etcd", name=name, certificate=f"certificate of {name}")
    move = {"id": secrets.token_hex(8), "voters": list(NAMES), "epoch": "e-etcd"}
    propose(cluster, "n1", "store.etcd", **move)
    for name in NAMES:
        cluster.look(name)
    cluster.run("n1", create.create, name="web1", memory="64MiB")
    local = LocalEtcd(cast(Any, None), tmp_path, (0, 0), cast(Any, None), lambda _: asked(servers))
    cast(Any, cluster.hosts["n1"].etcd).shown = local.shown

    yield cluster
    for member in servers.members[1:]:
        member.kill()
        member.start(servers.bundle, servers.members)
    servers.wait()


@pytest.fixture
def minority(cluster: FakeCluster, servers: Servers) -> Callable[[str], FakeCluster]:
    """n1 is left: the others' hosts end, or hang."""

    def without(how: str) -> FakeCluster:
        for member in servers.members[1:]:
            member.kill() if how == "killed" else member.hang()
        cluster.down.update({"n2", "n3"})
        return cluster

    return without


def asked(servers: Servers) -> Any:
    return servers.gateway(1.0)


def propose(cluster: FakeCluster, node: str, change: str, **params: Any) -> None:
    cluster.hosts[node].consensus.propose(
        change, params, id=secrets.token_hex(4), who="root", why=change
    )


def said(attempt: Callable[[], object]) -> str:
    """What an attempt is refused with, in time."""
    began = time.monotonic()
    with pytest.raises(McvError) as told:
        attempt()
    assert time.monotonic() - began < REFUSED
    assert isinstance(told.value, PeerUnreachable)
    return str(told.value)


@pytest.mark.parametrize("how", ["killed", "hung"])
def test_a_minority_says_who_is_missing_and_answers_reads(
    minority: Callable[[str], FakeCluster], how: str
) -> None:
    cluster = minority(how)
    host = cluster.hosts["n1"]
    before = host.consensus.committed()

    assert WORDS in said(lambda: propose(cluster, "n1", "permission.add", user="eve"))
    assert WORDS in said(lambda: cluster.run("n1", power.start, name="web1"))
    assert WORDS in said(lambda: cluster.run("n1", etcd_store.to_unanimous))
    began = time.monotonic()
    shown = etcd_store.show(host)
    listed = vms.list_(host)
    assert time.monotonic() - began < 2 * READ
    began = time.monotonic()
    seen = status.info(host)
    took = time.monotonic() - began

    assert took < READ
    assert [voter.state for voter in shown.voters] == ["voter", "unreachable", "unreachable"]
    assert not shown.quorum
    assert [vm.name for vm in listed] == ["web1"]
    assert any(line.startswith(f"{WORDS}: nothing is changed") for line in seen.attention)
    assert host.consensus.committed() == before
    assert cluster.domains["n1"].active == {} or "web1" not in cluster.domains["n1"].active


def test_voters_that_do_not_answer_are_named_where_their_daemons_do(
    cluster: FakeCluster, servers: Servers
) -> None:
    for member in servers.members[1:]:
        member.kill()
    host = cluster.hosts["n1"]
    host.consensus.poll()
    cast(Any, host.consensus)._current.reader.read_at = float("-inf")

    seen = status.info(host)

    [line] = [line for line in seen.attention if line.startswith(WORDS)]
    assert line.endswith("On n2 and n3: systemctl status mcv-etcd.")


def test_one_of_three_may_be_missing_and_nobody_is_told_otherwise(
    minority: Callable[[str], FakeCluster], servers: Servers
) -> None:
    cluster = minority("killed")
    servers["n2"].start(servers.bundle, servers.members)
    servers.wait()
    cluster.down.discard("n2")

    propose(cluster, "n1", "permission.add", user="alice")
    cluster.run("n1", power.start, name="web1")

    lines = status.info(cluster.hosts["n1"]).attention
    assert any(line.startswith("n3 does not answer. ") for line in lines)
    assert not any("nothing" in line for line in lines)


def test_the_one_that_is_left_takes_what_its_own_voter_shows_by_itself(
    cluster: FakeCluster,
    minority: Callable[[str], FakeCluster],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(members, "answers_at_all", lambda *_: False)
    cluster.down.add("n1")
    propose(cluster, "n2", "permission.add", user="alice")
    cluster.down.discard("n1")
    assert cluster.read("n1").permissions.superusers == ()
    minority("killed")

    cluster.run("n1", etcd_lost.to_unanimous, names=["n2", "n3"])

    document = cluster.read("n1")
    assert (document.store, document.online) == (None, ["n1"])
    assert document.permissions.superusers == ("alice",)
    propose(cluster, "n1", "permission.add", user="bob")
