"""What high availability manages: by the operations, all that is wrong at once."""

from typing import Any

import pytest
from msgspec.structs import replace

from mcv.cluster import ha_domains, ha_entries, ha_list, ha_status
from mcv.document.fencing import Plug
from mcv.errors import NotFound, Refused
from mcv.network import verbs as network
from mcv.storage import pools
from mcv.vm import create, delete, power, rename
from tests.fakes.armed import add_vm
from tests.fakes.armed import armed as armed
from tests.fakes.cluster import FakeCluster


@pytest.fixture
def vms(three: FakeCluster) -> FakeCluster:
    """web1 on n1 and n2, web3 on n1 and n3, a failover domain of n1 and n2."""
    three.run("n1", network.create, name="lan", bridge="br-lan")
    add_vm(three, "web1")
    add_vm(three, "web3", "n1", "n3")
    nodes = {"n1": 1, "n2": 2}
    three.run("n1", ha_domains.create_domain, name="front", nodes=nodes, ordered=True)
    return three


def problems(told: Any) -> list[str]:
    """All that a refusal names."""
    return [message for message, _ in told.value.problems] or [told.value.message]


def test_a_vm_is_managed_changed_and_let_go(vms: FakeCluster) -> None:
    added = vms.run("n1", ha_entries.add, name="web1", domain="front", priority=5)
    changed = vms.run("n2", ha_entries.set_, name="web1", recovery="relocate", state="stopped")
    vms.run("n3", ha_entries.remove, name="web1")

    assert (added.wanted, added.domain, added.priority, added.failback) == (
        *("started", "front"),
        *(5, True),
    )
    assert (changed.wanted, changed.recovery, changed.priority) == ("stopped", "relocate", 5)
    assert vms.read().ha_vms == {}


def test_all_that_is_wrong_with_an_entry_is_told_at_once(vms: FakeCluster) -> None:
    before = vms.read()

    wrong = {"domain": "back", "recovery": "pray", "max_restarts": -1, "window": 0, "state": "on"}
    with pytest.raises(Refused) as told:
        vms.run("n1", ha_entries.add, name="web9", **wrong)

    said = problems(told)
    assert len(said) == 6
    assert "--state is started, stopped or ignored, not 'on'." in said
    assert "There is no VM web9." in said
    assert vms.read() == before


def test_a_vm_with_its_disks_elsewhere_is_in_no_restricted_domain(vms: FakeCluster) -> None:
    vms.run("n1", ha_domains.create_domain, name="two", nodes={"n2": 1}, restricted=True)

    with pytest.raises(Refused, match="web3 runs on none of the nodes of two"):
        vms.run("n1", ha_entries.add, name="web3", domain="two")
    vms.run("n1", ha_entries.add, name="web3")
    with pytest.raises(Refused, match="web3 runs on none of the nodes of two"):
        vms.run("n1", ha_entries.set_, name="web3", domain="two")


def test_notes_say_what_limits_a_recovery(vms: FakeCluster) -> None:
    vms.run("n1", create.create, name="lone", memory="64MiB", disks=["8MiB"], storage="file")

    lone = vms.run("n1", ha_entries.add, name="lone")
    web3 = vms.run("n1", ha_entries.add, name="web3", domain="front")

    assert "The cluster is not armed: nothing is done by itself. mcv ha arm" in lone.notes
    assert "lone has its disks on n1 alone: it is restarted there only." in lone.notes
    assert "n2 of front can not run web3." in web3.notes


def shared(three: FakeCluster) -> None:
    first = three.directories["n1"]
    for door in three.directories.values():
        door.make("/srv/nfs")
        door.made["/srv/nfs"] = first.made["/srv/nfs"]
        door.about["/srv/nfs"] = first.at("/srv/nfs")
    three.run("n1", pools.create, name="nfs", type="shared", location="/srv/nfs")
    options = {"storage": "shared", "pool": "nfs", "nodes": ["n1", "n2"]}
    three.run("n1", create.create, name="db", memory="64MiB", disks=["8MiB"], **options)


def test_a_vm_on_a_shared_pool_needs_locks_and_proof_of_every_death(three: FakeCluster) -> None:
    shared(three)
    with pytest.raises(Refused) as told:
        three.run("n1", ha_entries.add, name="db")
    assert any("n2 has no tested plug and no hardware watchdog" in line for line in problems(told))

    cluster = three.read()
    plug = Plug(device="bmc", tested="2026-01-01T00:00:00Z")
    for name in ("n1", "n2", "n3"):
        cluster = cluster.with_node(replace(cluster.node(name), levels=((plug,),)))
    assert ha_entries._why_not_run(cluster, cluster.vm("db"), "") == []
    pool = replace(cluster.pool("nfs"), locks=())
    cluster = replace(cluster, pools={"nfs": pool})
    (problem,) = ha_entries._why_not_run(cluster, cluster.vm("db"), "")
    assert "the locks of n1, n2" in problem.message


def test_a_level_with_a_plug_that_was_never_tested_proves_nothing(three: FakeCluster) -> None:
    cluster = three.read()
    tested, new = Plug(device="a", tested="2026-01-01T00:00:00Z"), Plug(device="b")

    def leveled(*levels: tuple[Plug, ...]) -> bool:
        node = replace(cluster.node("n1"), levels=levels)
        return ha_entries.proves(cluster.with_node(node), "n1")

    assert not leveled((tested, new))
    assert leveled((tested, new), (tested,))


def test_an_entry_and_ties_go_along_with_a_vm(vms: FakeCluster) -> None:
    vms.run("n1", ha_entries.add, name="web1")
    vms.run("n1", ha_domains.tie, kind="apart", names=["web3", "web1"])

    vms.run("n1", rename.rename, name="web1", new="zope")
    renamed = vms.read()
    vms.run("n1", delete.delete, name="zope")

    assert list(renamed.ha_vms) == ["zope"]
    assert [tie.names for tie in renamed.ties] == [("web3", "zope")]
    assert (vms.read().ha_vms, vms.read().ties) == ({}, ())


def test_all_that_is_wrong_with_a_domain_is_told_at_once(vms: FakeCluster) -> None:
    with pytest.raises(Refused) as told:
        vms.run("n1", ha_domains.create_domain, name="front", nodes={"n9": 1, "n1": 0})

    assert len(problems(told)) == 3


def test_domains_are_listed_and_deleted_when_nothing_is_in_them(vms: FakeCluster) -> None:
    vms.run("n1", ha_entries.add, name="web1", domain="front")
    with pytest.raises(Refused, match="web1 is in front"):
        vms.run("n1", ha_domains.delete_domain, name="front")
    vms.run("n1", ha_entries.set_, name="web1", domain="")

    (row,) = ha_domains.list_domains(vms.hosts["n1"])
    vms.run("n1", ha_domains.delete_domain, name="front")

    assert (row.name, row.nodes, row.ordered) == ("front", {"n1": 1, "n2": 2}, True)
    assert (row.restricted, row.failback) == (False, True)
    assert ha_domains.list_domains(vms.hosts["n1"]) == []


def test_ties_are_made_listed_and_forgotten(vms: FakeCluster) -> None:
    vms.run("n1", ha_domains.tie, kind="together", names=["web3", "web1"])
    with pytest.raises(Refused) as told:
        vms.run("n1", ha_domains.tie, kind="apart", names=["web1", "web3", "web9", "web8"])
    (row,) = ha_domains.list_ties(vms.hosts["n1"])
    vms.run("n1", ha_domains.untie, kind="together", names=["web1", "web3"])

    assert len(problems(told)) == 3
    assert (row.kind, row.names) == ("together", ["web1", "web3"])
    assert ha_domains.list_ties(vms.hosts["n1"]) == []
    with pytest.raises(NotFound):
        vms.run("n1", ha_domains.untie, kind="together", names=["web1", "web3"])


def test_the_list_says_what_a_vm_does_and_why_nothing_is_done(vms: FakeCluster) -> None:
    vms.run("n1", ha_entries.add, name="web1", domain="front")
    vms.run("n1", power.start, name="web1")

    (row,) = ha_list.list_(vms.hosts["n1"])

    assert (row.name, row.kind, row.wanted, row.state) == ("web1", "vm", "started", "frozen")
    assert (row.node, row.home, row.domain) == ("n1", "n1", "front")
    assert row.reason == "the cluster is not armed; on n1 it is running"


def test_the_list_of_an_armed_cluster_tells_states_failures_and_what_helps(
    armed: FakeCluster,
) -> None:
    armed.run("n1", ha_entries.add, name="web1")
    (stopped,) = ha_list.list_(armed.hosts["n1"])
    armed.hosts["n1"].update("ha.failed", "manager", name="web1", why="it failed on n1 and n2")
    (failed,) = ha_list.list_(armed.hosts["n1"])
    armed.run("n1", ha_entries.set_, name="web1", state="ignored")

    (ignored,) = ha_list.list_(armed.hosts["n1"])

    assert (stopped.state, stopped.attention) == ("stopped", None)
    assert (failed.state, failed.reason) == ("failed", "it failed on n1 and n2")
    assert failed.attention is not None
    assert failed.attention.endswith("mcv ha set web1 --state started")
    assert ignored.state == "frozen"
    assert [row.name for row in armed.run("n1", ha_status.status).services] == ["web1"]
