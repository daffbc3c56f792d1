"""Voters that come, go, move and lose their data, over a real etcd that goes on meanwhile."""

import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import structs

from mcv.document import etcd_voters
from mcv.document.etcd_voters import Terms, Voter
from mcv.document.model import Cluster, Node
from mcv.drivers import etcd_voting
from mcv.drivers.etcd_local import LocalEtcd
from mcv.errors import CallLost, McvError, PeerUnreachable
from mcv.etcd.client import Etcd
from mcv.etcd.members import Upkeep
from mcv.etcd.requests import put
from mcv.rpc.etcd_certificates import Certificates
from tests.documents import after
from tests.etcd.nodes import ADDRESSES, Nodes

GAP = 6.0  # s: one voter after the other is restarted, and no election is in between


class Writer:
    """A client that writes all the time, and knows its longest wait."""

    def __init__(self, nodes: Nodes) -> None:
        self._etcd = Etcd(nodes.reach("n1", nodes.terms.voters))
        self._ends = threading.Event()
        self.longest = 0.0
        self.written = 0
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        last = time.monotonic()
        while not self._ends.wait(0.05):
            try:
                self._etcd.change([], [put(b"/written", b"x")])
            except McvError:
                continue
            self.longest = max(self.longest, time.monotonic() - last)
            last = time.monotonic()
            self.written += 1

    def end(self) -> None:
        self._ends.set()
        self._thread.join()
        self._etcd.gateway.close()


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Nodes]:
    nodes = Nodes(tmp_path)
    local = nodes.local()
    for name in ADDRESSES:
        local[name].set_up(name, nodes.terms, "new")
        local[name].unit.start()
    for name in ADDRESSES:
        local[name].await_voters(name, nodes.terms.voters, 60.0)
    yield nodes
    for systemd in nodes.systemd.values():
        systemd.end()


@pytest.fixture
def local(nodes: Nodes) -> dict[str, LocalEtcd]:
    return nodes.local()


@pytest.fixture
def writer(nodes: Nodes) -> Iterator[Writer]:
    writer = Writer(nodes)
    yield writer
    writer.end()


def all_follow(local: dict[str, LocalEtcd], terms: Terms, but: str = "") -> None:
    """As `etcd.trust` does: one by one, the leader last."""
    names = {voter.name for voter in terms.voters} - {but}
    leader = local["n1"].leader(terms.voters)
    for name in sorted(names, key=lambda each: (each == leader, each)):
        local[name].follow(name, terms)


def with_fourth(nodes: Nodes) -> tuple[Cluster, Voter]:
    """The document with n4, which does not vote yet."""
    identity = nodes.identities["n4"]
    certificate = Certificates(identity).kept("127.0.0.4")
    new = Node(
        name="n4",
        hostname="n4",
        ip_address="127.0.0.4",
        drbd_address="127.0.0.4",
        certificate=identity.certificate_pem,
        etcd_certificate=certificate,
    )
    return nodes.cluster.with_node(new), Voter("n4", "127.0.0.4", certificate)


def members(nodes: Nodes) -> dict[str, bool]:
    """Whether each member of etcd is a learner."""
    gateway = nodes.reach("n1", nodes.terms.voters)
    found = {each.name: each.is_learner for each in Upkeep(gateway).members()}
    gateway.close()
    return found


def is_served(nodes: Nodes, name: str) -> bool:
    """Whether any voter serves a client that has the node's key."""
    gateway = nodes.reach(name, nodes.terms.voters)
    try:
        Etcd(gateway).read(b"/written")
    except (PeerUnreachable, CallLost):
        return False
    finally:
        gateway.close()
    return True


def test_a_fourth_voter_comes_and_goes_while_others_write(
    nodes: Nodes, local: dict[str, LocalEtcd], writer: Writer
) -> None:
    before = nodes.terms
    assert not is_served(nodes, "n4")
    cluster, fourth = with_fourth(nodes)

    terms = etcd_voters.terms(cluster)
    all_follow(local, terms)
    assert is_served(nodes, "n4")
    is_fresh = local["n4"].add(terms.voters, fourth, has_data=False)
    local["n4"].begin("n4", terms._replace(voters=(*terms.voters, fourth)), is_fresh)
    assert members(nodes)["n4"]
    assert not local["n4"].add(terms.voters, fourth, has_data=True)  # it goes on as it is
    local["n1"].promote(terms.voters, fourth)
    local["n1"].promote(terms.voters, fourth)
    assert members(nodes) == dict.fromkeys(["n1", "n2", "n3", "n4"], False)
    assert not local["n4"].unit.has_lost_data

    local["n1"].hand_over((*terms.voters, fourth), "n4")
    local["n1"].remove(terms.voters, fourth)
    local["n1"].remove(terms.voters, fourth)
    local["n4"].unit.discard()
    all_follow(local, before)
    assert members(nodes) == dict.fromkeys(["n1", "n2", "n3"], False)
    assert not is_served(nodes, "n4")
    assert writer.longest < GAP and writer.written > 50


def test_a_voter_moves_to_another_address_while_others_write(
    nodes: Nodes, local: dict[str, LocalEtcd], writer: Writer
) -> None:
    certificate = local["n2"].certificate_anew("127.0.0.12")
    all_follow(local, etcd_voters.terms(nodes.cluster, certificate=certificate), but="n2")
    local["n1"].hand_over(nodes.terms.voters, "n2")
    there = {"ip_address": "127.0.0.12", "drbd_address": "127.0.0.12"}

    nodes.cluster = after(
        nodes.cluster, "node.addresses", name="n2", etcd_certificate=certificate, **there
    )
    local["n2"].follow("n2", nodes.terms)
    all_follow(local, nodes.terms)

    gateway = nodes.reach("n1", nodes.terms.voters)
    upkeep = Upkeep(gateway)
    assert upkeep.named("n2").peers == [f"https://127.0.0.12:{nodes.peer_port}"]
    assert all(upkeep.status(endpoint).leader for endpoint in gateway.endpoints)
    gateway.close()
    assert local["n2"].certificate("127.0.0.12") == certificate
    assert all(local[name].runs_by(name, nodes.terms) for name in ADDRESSES)
    assert writer.longest < GAP


def test_a_voter_whose_data_are_gone_joins_as_another_one(
    nodes: Nodes, local: dict[str, LocalEtcd], writer: Writer
) -> None:
    gateway = nodes.reach("n1", nodes.terms.voters)
    was = Upkeep(gateway).named("n3").id
    nodes.systemd["n3"].end()
    shutil.rmtree(local["n3"].unit.directory / "data")
    assert local["n3"].unit.has_lost_data
    others = [voter for voter in nodes.terms.voters if voter.name != "n3"]
    third = next(voter for voter in nodes.terms.voters if voter.name == "n3")

    local["n3"].remove(others, third)
    is_fresh = local["n3"].add(others, third, has_data=False)
    local["n3"].begin("n3", nodes.terms, is_fresh)
    local["n3"].promote(others, third)

    assert is_fresh and Upkeep(gateway).named("n3").id != was
    assert members(nodes) == dict.fromkeys(["n1", "n2", "n3"], False)
    gateway.close()
    assert writer.longest < GAP


def test_a_learner_that_lost_its_data_before_it_voted_is_added_anew(
    nodes: Nodes, local: dict[str, LocalEtcd]
) -> None:
    cluster, fourth = with_fourth(nodes)
    terms = etcd_voters.terms(cluster)
    joined = terms._replace(voters=(*terms.voters, fourth))
    all_follow(local, terms)
    local["n4"].begin("n4", joined, local["n4"].add(terms.voters, fourth, has_data=False))
    nodes.systemd["n4"].end()
    shutil.rmtree(local["n4"].unit.directory / "data")

    is_fresh = local["n4"].add(terms.voters, fourth, has_data=local["n4"].unit.has_data)
    local["n4"].begin("n4", joined, is_fresh)
    local["n4"].promote(terms.voters, fourth)

    assert is_fresh and not members(nodes)["n4"]


def test_another_pace_is_another_heartbeat(nodes: Nodes, local: dict[str, LocalEtcd]) -> None:
    ha = structs.replace(nodes.cluster.ha, pace=2)
    slow = etcd_voters.terms(structs.replace(nodes.cluster, ha=ha))

    assert local["n2"].follow("n2", slow)
    assert not local["n2"].follow("n2", slow)

    text = (local["n2"].unit.directory / "etcd.env").read_text()
    assert "ETCD_HEARTBEAT_INTERVAL=500\n" in text and "ETCD_ELECTION_TIMEOUT=5000\n" in text


def test_a_change_of_who_votes_is_given_up_when_etcd_has_no_majority(
    nodes: Nodes, local: dict[str, LocalEtcd], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(etcd_voting.Voting.promote, "__defaults__", (1.0,))
    monkeypatch.setattr(etcd_voting.persist, "__defaults__", (1.0, 1.0))
    for name in ("n2", "n3"):
        nodes.systemd[name].end()
    _, fourth = with_fourth(nodes)

    assert not local["n1"].has_spare("n1", nodes.terms.voters)
    with pytest.raises(McvError):
        local["n1"].add(nodes.terms.voters, fourth, has_data=False)


def test_a_snapshot_is_taken_from_another_voter_where_this_one_is_gone(
    nodes: Nodes, local: dict[str, LocalEtcd], tmp_path: Path
) -> None:
    nodes.systemd["n1"].end()

    local["n1"].snapshot("n1", nodes.terms.voters, tmp_path / "kept.db")

    assert (tmp_path / "kept.db").stat().st_size > 1000
