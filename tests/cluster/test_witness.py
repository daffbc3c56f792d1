"""The witness: two nodes move to etcd with it, it is brought certificates, and taken out again."""

import contextlib
from typing import Any

import pytest
from msgspec.structs import replace

from mcv.check import etcd as check
from mcv.check.finding import ClusterSnapshot
from mcv.cluster import etcd_store, witness, witness_machine
from mcv.cluster.witness import Refreshed
from mcv.document import etcd_voters
from mcv.errors import Failed, NeedsPassword, NotFound, Refused, RepairNeeded
from mcv.host import DryRun
from mcv.status import cluster as status
from mcv.status.attention import attention
from mcv.status.report import reports
from tests.fakes.cluster import FakeCluster
from tests.fakes.process_killer import ProcessKiller, until_quiet
from tests.fakes.witness import ADDRESS, FakeWitness

W1: dict[str, Any] = {"witness": "w1", "ip_address": ADDRESS}


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> FakeWitness:
    machine = FakeWitness()
    for module in (witness, witness_machine):
        monkeypatch.setattr(module, "machine_at", machine.reached)
    monkeypatch.setattr(witness_machine, "key_and_certificate", lambda *_: ("key", "etcd of w1\n"))
    return machine


@pytest.fixture
def moved(cluster: FakeCluster, machine: FakeWitness) -> FakeCluster:
    cluster.run("n1", etcd_store.to_etcd, **W1)
    for name in cluster.hosts:
        cluster.look(name)
    return cluster


def findings(cluster: FakeCluster) -> list[str]:
    scene = ClusterSnapshot("n1", cluster.read(), "", (), {}, {}, {}, {})
    return [each.sentence for each in check.judge(scene)]


def test_two_nodes_and_a_witness_move_to_etcd(cluster: FakeCluster, machine: FakeWitness) -> None:
    answer = cluster.run("n1", etcd_store.to_etcd, **W1)
    shown = cluster.run("n2", etcd_store.show)

    assert (answer.store, answer.voters) == ("etcd", ["n1", "n2", "w1"])
    assert [voter.name for voter in shown.voters] == ["n1", "n2", "w1"]
    document = cluster.read("n2")
    assert document.witness is not None and document.store is not None
    assert (document.witness.name, document.store.voters) == ("w1", ("n1", "n2"))
    assert machine.files == {
        "key.pem": "key",
        "certificate.pem": "etcd of w1\n",
        "bundle.pem": etcd_voters.bundle(document),
    }
    assert machine.configuration is not None
    assert (machine.configuration.cluster, set(machine.configuration.members)) == (
        document.store.id,
        {"n1", "n2", "w1"},
    )
    assert etcd_voters.witness_lacks(document) == ""


def test_two_nodes_alone_are_told_of_a_witness(cluster: FakeCluster) -> None:
    with pytest.raises(Refused, match="a majority of two is both") as told:
        cluster.run("n1", etcd_store.to_etcd)

    assert "--witness" in told.value.hint


def test_the_plan_says_what_happens_there_and_nothing_does(
    cluster: FakeCluster, machine: FakeWitness
) -> None:
    dry = cluster.run("n1", etcd_store.to_etcd, **W1, dry_run=True)

    assert isinstance(dry, DryRun)
    assert "etcd.service is stopped and masked there" in dry.plan[0]
    assert any("witness.set" in line for line in dry.plan)
    assert machine.configuration is None


def test_all_that_is_wrong_with_it_is_said_at_once(
    cluster: FakeCluster, machine: FakeWitness
) -> None:
    machine.facts = replace(
        machine.facts, systemd=False, version="", mcvd="active", addresses=(), of="another"
    )
    before = cluster.picture()

    with pytest.raises(Refused) as told:
        cluster.run("n1", etcd_store.to_etcd, **W1)

    assert len(told.value.problems) == 5
    assert any("apt install etcd-server" in help_ for _, help_ in told.value.problems)
    assert cluster.picture() == before
    assert machine.configuration is None


def test_an_old_etcd_is_refused(cluster: FakeCluster, machine: FakeWitness) -> None:
    machine.facts = replace(machine.facts, version="3.3.25")

    with pytest.raises(Refused, match=r"its etcd is 3\.3\.25"):
        cluster.run("n1", etcd_store.to_etcd, **W1)


WRONG = [
    ({"witness": "n2"}, "n2 is a node of this cluster"),
    ({"witness": "No!"}, "is no name for a witness"),
    ({"ip_address": "10.0.0.2"}, "is the address of n2"),
    ({"ip_address": "x"}, "is no IP address"),
]


@pytest.mark.parametrize(("wrong", "why"), WRONG)
def test_what_can_be_no_witness_is_not_asked(
    cluster: FakeCluster, machine: FakeWitness, wrong: dict[str, str], why: str
) -> None:
    machine.silent = True  # reaching it would say so

    with pytest.raises(Refused, match=why):
        cluster.run("n1", etcd_store.to_etcd, **{**W1, **wrong})
    with pytest.raises(Refused, match=why):
        witness.host_key(cluster.hosts["n1"], **{**W1, **wrong})


def test_where_it_does_not_start_all_of_it_goes_again(
    cluster: FakeCluster, machine: FakeWitness
) -> None:
    machine.breaks = True

    with pytest.raises(Failed, match="no luck"):
        cluster.run("n1", etcd_store.to_etcd, **W1)

    assert machine.configuration is None
    assert not any(door.unit.is_set_up for door in cluster.etcd_of.values())
    assert (cluster.read().store, cluster.read().witness) == (None, None)
    assert not any(node.claim for node in cluster.read().nodes.values())


def test_where_a_node_does_not_start_the_witness_is_none_again(
    cluster: FakeCluster, machine: FakeWitness
) -> None:
    cluster.etcd_of["n2"].never_starts = True

    with pytest.raises(Failed, match="has not started"):
        cluster.run("n1", etcd_store.to_etcd, **W1)

    assert machine.configuration is None
    assert cluster.read().witness is None
    cluster.etcd_of["n2"].never_starts = False
    cluster.run("n1", etcd_store.to_etcd, **W1)
    assert machine.configuration is not None


def test_it_is_seen_in_info(moved: FakeCluster) -> None:
    seen = status.info(moved.hosts["n1"]).witness

    assert seen is not None
    assert (seen.name, seen.ip_address, seen.state) == ("w1", ADDRESS, "voter")


def renewed(cluster: FakeCluster) -> None:
    """n2 has another certificate, as after a change of its address."""
    cluster.hosts["n2"].update("node.etcd", "x", name="n2", certificate="another of n2\n")
    cluster.look("n1")


def test_attention_and_check_say_so_until_it_has_the_certificates(
    moved: FakeCluster, machine: FakeWitness
) -> None:
    host = moved.hosts["n1"]
    renewed(moved)
    told = [line for line in attention(host, reports(host)) if "w1" in line]
    found = findings(moved)

    done = moved.run("n1", witness.refresh)

    assert len(told) == 1 and told[0].endswith("mcv cluster store refresh")
    assert len(found) == 1 and "w1" in found[0]
    assert done == Refreshed(witness="w1", changed=True)
    assert machine.bundle() == etcd_voters.bundle(moved.read()).strip()
    assert machine.restarts == 1
    assert [line for line in attention(host, reports(host)) if "w1" in line] == []
    assert findings(moved) == []


def test_a_refresh_that_has_nothing_to_bring_restarts_nothing(
    moved: FakeCluster, machine: FakeWitness
) -> None:
    assert moved.run("n2", witness.refresh) == Refreshed(witness="w1", changed=False)
    assert machine.restarts == 0


def test_a_refresh_that_was_cut_off_restarts_it_again(
    moved: FakeCluster, machine: FakeWitness
) -> None:
    """The file is there, and whether etcd has read it nobody knows."""
    renewed(moved)
    machine.files["bundle.pem"] = etcd_voters.bundle(moved.read())

    assert moved.run("n1", witness.refresh).changed
    assert machine.restarts == 1


def test_no_restart_that_would_end_the_majority(
    moved: FakeCluster, machine: FakeWitness, monkeypatch: pytest.MonkeyPatch
) -> None:
    renewed(moved)
    door = moved.etcd_of["n1"]
    real = door.shown

    def shown(voters: Any) -> Any:
        return [
            replace(voter, state="unreachable") if voter.name == "n2" else voter
            for voter in real(voters)
        ]

    monkeypatch.setattr(door, "shown", shown)

    with pytest.raises(Refused, match=r"Without w1, whose etcd restarts, .* n2 would be missing"):
        moved.run("n1", witness.refresh)
    assert machine.restarts == 0


def test_a_machine_that_lost_it_is_not_refreshed(moved: FakeCluster, machine: FakeWitness) -> None:
    machine.facts = replace(machine.facts, has_lost_data=True)

    with pytest.raises(Refused, match="does not run this cluster's etcd any more"):
        moved.run("n1", witness.refresh)


def test_without_a_witness_there_is_none_to_refresh(cluster: FakeCluster) -> None:
    with pytest.raises(NotFound, match="no witness"):
        cluster.run("n1", witness.refresh)
    with pytest.raises(NotFound, match="no witness"):
        witness.host_key(cluster.hosts["n1"])


def test_a_password_is_asked_for(moved: FakeCluster, machine: FakeWitness) -> None:
    machine.password = "word"

    with pytest.raises(NeedsPassword):
        moved.run("n1", witness.refresh)
    assert not moved.run("n1", witness.refresh, password="word").changed


def test_the_move_back_takes_its_etcd_away(moved: FakeCluster, machine: FakeWitness) -> None:
    dry = moved.run("n1", etcd_store.to_unanimous, dry_run=True)
    done = moved.run("n1", etcd_store.to_unanimous)

    assert dry.plan[-1] == "w1 etcd is stopped there and deleted, over SSH"
    assert done.left == ""
    assert (moved.read().witness, moved.read().store) == (None, None)
    assert machine.configuration is None


def test_a_witness_that_is_not_reached_holds_no_move_up(
    moved: FakeCluster, machine: FakeWitness
) -> None:
    machine.silent = True

    done = moved.run("n1", etcd_store.to_unanimous)

    assert moved.read().store is None
    assert done.left.startswith("w1 keeps its etcd, which nobody asks any more (10.0.0.9 does not")
    assert "systemctl disable --now mcv-etcd" in done.left


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.usefixtures("short_timeouts")
@pytest.mark.parametrize("is_there", [False, True])
def test_killed_at_any_instant_of_the_move_it_is_whole_or_nothing(
    cluster: FakeCluster, machine: FakeWitness, is_there: bool
) -> None:
    """What a daemon that died left on the witness's machine, the next attempt sets up anew."""
    for at in range(0, 400, 11):
        if is_there and cluster.read().store is None:
            cluster.run("n1", etcd_store.to_etcd, **W1)
        with pytest.MonkeyPatch.context() as patch:
            killer = ProcessKiller(cluster, patch)
            doomed = killer.doom("n1", at)
            with contextlib.suppress(SystemExit, RepairNeeded, Refused, Failed):
                if is_there:
                    cluster.run("n1", etcd_store.to_unanimous)
                else:
                    cluster.run("n1", etcd_store.to_etcd, **W1)
            is_over = not doomed.dead
            killer.revive()
            until_quiet(cluster)
        document = cluster.read("n2")
        in_etcd = document.store is not None
        assert (document.witness is not None) == in_etcd, at
        assert {door.unit.is_there for door in cluster.etcd_of.values()} == {in_etcd}, at
        assert not any(node.claim for node in document.nodes.values()), at
        if in_etcd and not is_there:
            assert machine.configuration is not None, at
            cluster.run("n1", etcd_store.to_unanimous)
        if is_over:
            return
    raise AssertionError("it does not come to its end")
