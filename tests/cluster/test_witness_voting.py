"""A witness is added to an etcd that serves, and taken out again; whole or nothing."""

from typing import Any

import pytest

from mcv.cluster import etcd_store, members, witness, witness_machine, witness_voting
from mcv.document import etcd_voters
from mcv.errors import Failed, NotFound, Refused, RepairNeeded
from tests.fakes.cluster import FakeCluster
from tests.fakes.process_killer import ProcessKiller, until_quiet
from tests.fakes.witness import ADDRESS, FakeWitness

W1: dict[str, Any] = {"witness": "w1", "ip_address": ADDRESS}


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> FakeWitness:
    machine = FakeWitness()
    for module in (witness, witness_machine):
        monkeypatch.setattr(module, "machine_at", machine.reached)
    monkeypatch.setattr(
        witness_machine, "key_and_certificate", lambda *_: ("key", "etcd certificate of w1\n")
    )
    return machine


@pytest.fixture
def in_etcd(three: FakeCluster, machine: FakeWitness) -> FakeCluster:
    three.run("n1", etcd_store.to_etcd)
    looked(three)
    return three


def looked(cluster: FakeCluster) -> None:
    for name in cluster.hosts:
        cluster.look(name)


def trusts_it(cluster: FakeCluster) -> set[bool]:
    """Whether each node's etcd was started with the certificate of the witness."""
    return {
        "etcd certificate of w1" in cluster.etcd_of[name].unit.trusted for name in cluster.hosts
    }


def test_it_is_added_as_a_learner_and_votes_when_it_is_in_step(
    in_etcd: FakeCluster, machine: FakeWitness
) -> None:
    done = in_etcd.run("n2", etcd_store.to_etcd, **W1)
    looked(in_etcd)

    assert done.voters == ["n1", "n2", "n3", "w1"]
    assert in_etcd.voting.members["w1"].votes
    assert machine.configuration is not None
    assert machine.configuration.state == "existing"
    assert set(machine.configuration.members) == {"n1", "n2", "n3", "w1"}
    document = in_etcd.read("n3")
    assert document.witness is not None and document.witness.name == "w1"
    assert machine.files["bundle.pem"] == etcd_voters.bundle(document)
    assert etcd_voters.witness_lacks(document) == ""
    assert trusts_it(in_etcd) == {True}
    for host in in_etcd.hosts.values():
        assert host.etcd.runs_by(host.name, etcd_voters.terms(host.read()))
    with pytest.raises(Refused, match="w1 is the witness already"):
        in_etcd.run("n1", etcd_store.to_etcd, **W1)


def test_then_a_third_node_may_leave(in_etcd: FakeCluster, machine: FakeWitness) -> None:
    with pytest.raises(Refused, match="both would be needed"):
        in_etcd.run("n1", members.remove_node, node="n3")
    in_etcd.run("n1", etcd_store.to_etcd, **W1)
    looked(in_etcd)

    in_etcd.run("n1", members.remove_node, node="n3")

    assert in_etcd.read("n1").online == ["n1", "n2"]
    with pytest.raises(Refused, match="Without w1 n1 and n2 would both be needed"):
        in_etcd.run("n1", witness_voting.remove)


def test_it_does_not_lead_where_voters_change(in_etcd: FakeCluster, machine: FakeWitness) -> None:
    """It does not trust a new voter before it was brought its certificates."""
    in_etcd.run("n1", etcd_store.to_etcd, **W1)
    looked(in_etcd)
    in_etcd.voting.leads = "w1"

    in_etcd.run("n1", members.remove_node, node="n3")

    assert in_etcd.voting.leader in ("n1", "n2")


@pytest.mark.parametrize("how", ["its start fails", "it is not in step"])
def test_where_it_does_not_start_nobody_knows_it_any_more(
    in_etcd: FakeCluster, machine: FakeWitness, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    machine.breaks = how == "its start fails"
    if not machine.breaks:
        real = in_etcd.voting.is_up
        monkeypatch.setattr(in_etcd.voting, "is_up", lambda name: name != "w1" and real(name))

    with pytest.raises(Failed):
        in_etcd.run("n1", etcd_store.to_etcd, **W1)

    assert "w1" not in in_etcd.voting.members
    assert (machine.configuration, in_etcd.read().witness) == (None, None)
    assert trusts_it(in_etcd) == {False}
    assert not any(node.claim for node in in_etcd.read().nodes.values())


def test_it_is_taken_out_and_trusted_no_more(in_etcd: FakeCluster, machine: FakeWitness) -> None:
    in_etcd.run("n1", etcd_store.to_etcd, **W1)
    looked(in_etcd)
    in_etcd.voting.leads = "w1"

    done = in_etcd.run("n2", witness_voting.remove)
    looked(in_etcd)

    assert (done.voters, done.left) == (["n1", "n2", "n3"], "")
    assert "w1" not in in_etcd.voting.members
    assert (machine.configuration, in_etcd.read("n3").witness) == (None, None)
    assert trusts_it(in_etcd) == {False}
    with pytest.raises(NotFound, match="no witness"):
        in_etcd.run("n2", witness_voting.remove)


def test_one_that_burnt_is_taken_out_all_the_same(
    in_etcd: FakeCluster, machine: FakeWitness
) -> None:
    in_etcd.run("n1", etcd_store.to_etcd, **W1)
    looked(in_etcd)
    machine.silent = True

    done = in_etcd.run("n1", witness_voting.remove)

    assert "w1" not in in_etcd.voting.members
    assert done.left.startswith("w1 keeps its etcd, which nobody asks any more")


def test_no_voter_may_be_silent_while_it_is_added(
    in_etcd: FakeCluster, machine: FakeWitness
) -> None:
    in_etcd.down.add("n3")

    with pytest.raises(Refused, match="etcd on n3 does not answer"):
        in_etcd.run("n1", etcd_store.to_etcd, **W1)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.usefixtures("short_timeouts")
@pytest.mark.parametrize("act", ["add", "remove"])
def test_killed_at_any_instant_it_is_whole_or_nothing(
    in_etcd: FakeCluster, machine: FakeWitness, monkeypatch: pytest.MonkeyPatch, act: str
) -> None:
    """Killed in each step; what is left of it on the machine the next attempt sets up anew."""
    for at in range(0, 400, 11):
        if act == "remove" and in_etcd.read().witness is None:
            in_etcd.run("n1", etcd_store.to_etcd, **W1)
        with monkeypatch.context() as patch:
            killer = ProcessKiller(in_etcd, patch)
            doomed = killer.doom("n1", at)
            try:
                if act == "add":
                    in_etcd.run("n1", etcd_store.to_etcd, **W1)
                else:
                    in_etcd.run("n1", witness_voting.remove)
            except (SystemExit, RepairNeeded, Refused, Failed):
                pass
            is_over = not doomed.dead
            killer.revive()
            until_quiet(in_etcd)
        document = in_etcd.read("n2")
        assert (document.witness is not None) == ("w1" in in_etcd.voting.members), at
        assert not any(node.claim for node in document.nodes.values()), at
        assert trusts_it(in_etcd) == {document.witness is not None}, at
        if act == "add" and document.witness is not None:
            in_etcd.run("n1", witness_voting.remove)
        if is_over:
            return
    raise AssertionError("it does not come to its end")
