"""Going down in good order with the host, and leaving for good after a removal."""

import pytest

from mcv.cluster import joining, leaving, members
from mcv.document.subject import Subject
from mcv.errors import CommandFailed, Refused, RepairNeeded
from mcv.host import Host
from mcv.system.answers import plain
from mcv.vm import power
from tests.fakes.cluster import FakeCluster

RESOURCE = "mcv-web1-1"


def removed_while_away(cluster: FakeCluster) -> None:
    """n2 was declared dead and removed, and has heard of it."""
    cluster.down.add("n2")
    cluster.run("n1", members.offline, names=["n2"], confirm_dead=True)
    cluster.run("n1", members.remove_node, node="n2", force=True)
    cluster.down.discard("n2")
    cluster.look("n2")


@pytest.fixture
def dead(monkeypatch: pytest.MonkeyPatch) -> None:
    """No address answers for a node that is down."""
    monkeypatch.setattr(members, "answers_at_all", lambda *_: False)


def test_a_node_goes_offline_with_its_host(vm: FakeCluster) -> None:
    assert leaving.leave_in_order(vm.hosts["n2"]) is True

    assert vm.read("n1").nodes["n2"].status == "offline"
    assert not vm.read("n1").nodes["n2"].maintenance


def test_secondaries_are_disconnected_before_the_node_is_offline(vm: FakeCluster) -> None:
    vm.run("n1", power.start, name="web1")

    assert leaving.leave_in_order(vm.hosts["n2"]) is True

    status = vm.drbd["n2"].status(RESOURCE)
    assert status is not None and status.connection == "StandAlone"
    assert vm.domains["n1"].state("web1") == "running"


def test_a_node_whose_vm_still_runs_goes_down_as_online(vm: FakeCluster) -> None:
    vm.run("n1", power.start, name="web1")

    assert leaving.leave_in_order(vm.hosts["n1"]) is False

    assert vm.read("n2").nodes["n1"].status == "online"
    status = vm.drbd["n1"].status(RESOURCE)
    assert status is not None and status.connection == "Connected"


def test_a_node_with_an_operation_under_way_goes_down_as_online(vm: FakeCluster) -> None:
    vm.hosts["n2"].jobs.begin("migrate", "alice")

    assert leaving.leave_in_order(vm.hosts["n2"]) is False

    assert vm.read("n1").nodes["n2"].status == "online"


def test_a_node_that_gets_no_agreement_goes_down_as_online(vm: FakeCluster) -> None:
    vm.down.add("n1")

    assert leaving.leave_in_order(vm.hosts["n2"]) is False

    assert vm.read("n2").nodes["n2"].status == "online"


def test_the_only_node_online_stays_online(vm: FakeCluster, dead: None) -> None:
    vm.down.add("n2")
    vm.run("n1", members.offline, names=["n2"], confirm_dead=True)

    assert leaving.leave_in_order(vm.hosts["n1"]) is False
    assert vm.read("n1").nodes["n1"].status == "online"
    assert RESOURCE not in vm.drbd["n1"].standalone


def test_a_libvirt_that_does_not_answer_leaves_the_node_online(
    vm: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    def states() -> dict[str, str]:
        raise CommandFailed("libvirt does not answer.")

    monkeypatch.setattr(vm.domains["n2"], "states", states)

    assert leaving.leave_in_order(vm.hosts["n2"]) is False
    assert vm.read("n1").nodes["n2"].status == "online"


def test_a_member_does_not_make_itself_blank(vm: FakeCluster) -> None:
    before = vm.picture()

    with pytest.raises(Refused, match="No member says that n2 was removed") as refused:
        vm.run("n2", leaving.leave)

    assert refused.value.hint == "On another node: mcv cluster remove-node --node n2"
    assert vm.picture() == before


def test_a_blank_node_is_told_so(cluster: FakeCluster, dead: None) -> None:
    removed_while_away(cluster)
    cluster.run("n2", leaving.leave)

    with pytest.raises(Refused, match="n2 is blank already"):
        cluster.run("n2", leaving.leave)


def forget(host: Host) -> None:
    """Take web1 out of the document alone, as a document that was imposed would."""
    with host.claim(Subject.vm("web1"), "forget web1"):
        host.update("vm.remove", "forget web1", name="web1")


@pytest.fixture
def removed(vm: FakeCluster, dead: None) -> FakeCluster:
    """n2 was removed while it was away, and still has web1: a definition and a replica."""
    vm.domains["n2"].define(vm.domains["n1"].xml("web1"))
    vm.down.add("n2")
    vm.run("n1", members.offline, names=["n2"], confirm_dead=True)
    vm.run("n1", forget)
    vm.run("n1", members.remove_node, node="n2", force=True)
    vm.down.discard("n2")
    vm.look("n2")
    return vm


def test_a_removed_node_does_not_leave_while_a_vm_runs_on_it(removed: FakeCluster) -> None:
    removed.domains["n2"].start_unasked("web1")
    before = removed.picture()

    with pytest.raises(Refused, match="web1 still runs here") as refused:
        removed.run("n2", leaving.leave)

    assert refused.value.hint == "mcv stop web1 --on n2"
    assert removed.picture() == before


def test_a_removed_node_gives_up_domain_and_resource_and_keeps_the_volume(
    removed: FakeCluster,
) -> None:
    held = removed.run("n2", leaving.leave, dry_run=True).plan
    volumes = dict(removed.lvm["n2"].made)

    answer = removed.run("n2", leaving.leave)

    backing = held[1].removeprefix("a replica of web1: ")
    assert held == ["domain web1: stopped", f"a replica of web1: {backing}"]
    assert plain(answer) == {"node": "n2", "kept": [backing]}
    assert removed.domains["n2"].state("web1") == "absent"
    assert removed.drbd["n2"].status(RESOURCE) is None
    assert not list(removed.hosts["n2"].settings.drbd_directory.glob("*.res"))
    assert removed.lvm["n2"].made == volumes != {}


def test_a_removed_node_says_what_it_holds_before_anything_is_done(
    cluster: FakeCluster, dead: None
) -> None:
    removed_while_away(cluster)
    cluster.domains["n2"].define(
        "<domain><name>old</name><uuid>6d637600-0000-4000-8000-00000000000c</uuid></domain>"
    )
    before = cluster.picture()

    answer = cluster.run("n2", leaving.leave, dry_run=True)

    assert plain(answer) == {"dry_run": True, "plan": ["domain old: stopped"]}
    assert cluster.picture() == before


def test_a_removed_node_becomes_blank_and_leaves_alone_what_is_not_the_clusters(
    cluster: FakeCluster, dead: None
) -> None:
    removed_while_away(cluster)
    cluster.domains["n2"].define(
        "<domain><name>old</name><uuid>6d637600-0000-4000-8000-00000000000c</uuid></domain>"
    )

    answer = cluster.run("n2", leaving.leave)

    assert plain(answer) == {"node": "n2", "kept": []}
    assert joining.is_blank(cluster.hosts["n2"])
    assert cluster.domains["n2"].state_of("old") == "stopped"
    assert list(cluster.read("n1").nodes) == ["n1"]


def test_a_leaving_that_stops_half_way_says_so_and_can_be_given_again(
    removed: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(resource: str) -> None:
        raise CommandFailed("`drbdadm down` exited with 11: Device is held open.")

    monkeypatch.setattr(removed.drbd["n2"], "down", busy)

    with pytest.raises(RepairNeeded, match=r"n2 is not blank yet: .*held open") as left:
        removed.run("n2", leaving.leave)

    assert left.value.exit_code == 4 and "mcv cluster leave" in left.value.hint
    monkeypatch.undo()
    assert plain(removed.run("n2", leaving.leave))["node"] == "n2"


def test_a_node_that_is_at_work_does_not_go_into_maintenance(
    three: FakeCluster, dead: None
) -> None:
    """The others could take its operation over while it goes on."""

    def offline_meanwhile(host: Host) -> None:
        with host.claim(Subject.node("n3"), "remove node n3"):
            members.offline(host, ["n2"])

    with pytest.raises(Refused, match="n2 is at work: remove node n3") as refused:
        three.run("n2", offline_meanwhile)

    assert "mcv job wait" in refused.value.hint
    assert three.read("n1").nodes["n2"].status == "online"
    three.run("n2", members.offline, names=["n2"])
    assert three.read("n1").nodes["n2"].maintenance
