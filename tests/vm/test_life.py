"""A VM's life over fake doors: created, started, moved, verified, deleted."""

import contextlib

import pytest

from mcv.check import inventory
from mcv.drbd import notes, resync, verification_results, verify
from mcv.errors import (
    Busy,
    DoneInPart,
    Failed,
    NotFound,
    PeerUnreachable,
    Refused,
    RepairNeeded,
)
from mcv.network import verbs as network
from mcv.recovery import journal_recovery
from mcv.status import report, vms
from mcv.system.answers import plain
from mcv.timestamps import timestamp
from mcv.vm import create, delete, disk_closing, migrate, power, register
from tests.fakes.cluster import FakeCluster


def make(cluster: FakeCluster, name: str = "web1") -> None:
    cluster.run("n1", create.create, name=name, memory="64MiB", disks=["64MiB"])


def test_a_new_vm_has_its_disk_on_both_nodes_and_its_domain_on_its_owner(
    cluster: FakeCluster,
) -> None:
    make(cluster)

    vm = cluster.read("n2").vm("web1")
    assert vm.node == "n1" and vm.nodes == ("n1", "n2") and vm.claim is None
    assert set(cluster.domains["n1"].defined) == {"web1"}
    assert set(cluster.domains["n2"].defined) == set()
    assert list(cluster.lvm["n1"].made) == list(cluster.lvm["n2"].made) == ["mcv-web1-1"]
    assert cluster.lvm["n1"].made["mcv-web1-1"] > 64 * 1024**2
    assert cluster.drbd["n1"].statuses()["mcv-web1-1"].both_up_to_date
    assert journal_recovery.left(cluster.hosts["n1"]) == []


@pytest.mark.parametrize(
    ("node", "verb"),
    [("n2", "up"), ("n1", "up"), ("n2", "create_metadata"), ("n1", "birth"), ("n1", "define")],
)
def test_a_creation_that_fails_leaves_nothing(cluster: FakeCluster, node: str, verb: str) -> None:
    before = cluster.picture()
    broken = cluster.domains if verb == "define" else cluster.drbd
    broken[node].broken.add(verb)

    with pytest.raises(Failed, match="failed and was undone"):
        make(cluster)

    after = cluster.picture()
    for name in ("n1", "n2"):
        assert after[name][1:] == before[name][1:]
        assert after[name][0]["vms"] == {}


def test_of_two_that_create_one_name_the_second_is_refused_and_leaves_no_trace(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first is made after the second has looked, and before it has changed anything."""
    made: list[str] = []

    def spy(me: str, node: str, operation: str) -> None:
        if me == "n2" and operation == "journal.keep" and not made:
            made.append(operation)
            cluster.run("n1", create.create, name="web1", memory="64MiB")

    monkeypatch.setattr(cluster, "spy", spy)

    with pytest.raises(Refused, match="a VM web1 already") as refused:
        cluster.run("n2", create.create, name="web1", memory="32MiB", disks=["64MiB"])

    assert made and not isinstance(refused.value, RepairNeeded)
    assert cluster.read().vm("web1").memory == 64 * 1024**2
    assert cluster.read().vm("web1").claim is None
    assert cluster.lvm["n1"].made == {}
    assert [cluster.hosts[name].journal.entries() for name in ("n1", "n2")] == [[], []]


def test_a_creation_that_a_silent_member_stops_is_a_refusal(cluster: FakeCluster) -> None:
    before = cluster.picture()
    cluster.down.add("n2")

    with pytest.raises(Refused, match="n2 does not answer, so nothing was changed"):
        cluster.run("n1", create.create, name="web1", memory="64MiB")

    assert cluster.picture() == before


def test_a_creation_says_everything_that_is_wrong_at_once(cluster: FakeCluster) -> None:
    before = cluster.picture()

    with pytest.raises(Refused) as refused:
        cluster.run(
            "n1",
            create.create,
            name="Web_1",
            memory="much",
            cpus=0,
            disks=["9TiB"],
            storage="lvm",
            networks=["nolan"],
            nodes=["n1", "n9"],
        )

    said = " ".join(message for message, _ in refused.value.problems)
    for word in ("'Web_1'", "'much'", "0 makes no sense", "lvm", "nolan", "n9"):
        assert word in said
    assert cluster.picture() == before


def test_a_volume_group_without_room_on_the_other_node_is_a_refusal(
    cluster: FakeCluster,
) -> None:
    cluster.lvm["n2"].size = 32 * 1024**2
    before = cluster.picture()

    with pytest.raises(Refused, match=r"Pool lvm \(vg0\) on n2 has 32MiB free"):
        make(cluster)

    assert cluster.picture() == before


def test_a_vm_starts_on_its_owner_with_its_disk_promoted(cluster: FakeCluster) -> None:
    make(cluster)

    cluster.run("n1", power.start, name="web1")

    assert cluster.domains["n1"].active == {"web1": "running"}
    assert cluster.drbd["n1"].statuses()["mcv-web1-1"].role == "Primary"
    with pytest.raises(Refused, match="running already"):
        cluster.run("n1", power.start, name="web1")
    with pytest.raises(Refused, match="belongs to n1"):
        cluster.run("n2", power.start, name="web1")


def test_a_guest_that_ends_by_itself_gives_its_disk_back(cluster: FakeCluster) -> None:
    make(cluster)
    cluster.run("n1", power.start, name="web1")
    cluster.domains["n1"].active.clear()

    disk_closing.reconcile(cluster.hosts["n1"])

    assert cluster.drbd["n1"].statuses()["mcv-web1-1"].role == "Secondary"


def test_a_start_that_fails_gives_the_disk_back(cluster: FakeCluster) -> None:
    make(cluster)
    cluster.domains["n1"].broken.add("start")

    with pytest.raises(Exception, match="Could not start"):
        cluster.run("n1", power.start, name="web1")

    assert cluster.drbd["n1"].statuses()["mcv-web1-1"].role == "Secondary"


def test_an_offline_migration_moves_owner_and_definition(cluster: FakeCluster) -> None:
    make(cluster)

    cluster.run("n1", migrate.migrate, name="web1", to="n2", start_after_migration=True)

    assert cluster.read("n1").vm("web1").node == "n2"
    assert set(cluster.domains["n1"].defined) == set()
    assert cluster.domains["n2"].active == {"web1": "running"}
    assert cluster.read("n2").vm("web1").claim is None
    assert list(cluster.hosts["n2"].journal.entries()) == []


def test_a_migration_moves_the_home_of_a_vm(cluster: FakeCluster) -> None:
    make(cluster)
    before = cluster.read().vm("web1").home

    cluster.run("n1", migrate.migrate, name="web1", to="n2")

    assert (before, cluster.read().vm("web1").home) == ("n1", "n2")


def test_a_failed_definition_there_leaves_the_vm_where_it_was(cluster: FakeCluster) -> None:
    make(cluster)
    cluster.domains["n2"].broken.add("define")

    with pytest.raises(Failed, match=r"was undone.*Could not define"):
        cluster.run("n1", migrate.migrate, name="web1", to="n2")

    assert cluster.read("n2").vm("web1").node == "n1"
    assert cluster.read("n2").vm("web1").claim is None
    assert set(cluster.domains["n1"].defined) == {"web1"}


def test_a_start_that_fails_after_a_migration_leaves_the_vm_on_its_new_node(
    cluster: FakeCluster,
) -> None:
    make(cluster)
    cluster.domains["n2"].broken.add("start")

    with pytest.raises(DoneInPart, match=r"is done, but: Could not start"):
        cluster.run("n1", migrate.migrate, name="web1", to="n2", start_after_migration=True)

    assert cluster.read("n1").vm("web1").node == "n2"
    assert cluster.read("n1").vm("web1").claim is None


@pytest.mark.parametrize("ignore_verify", [False, True])
def test_a_verification_that_fails_during_a_move_forbids_the_start_at_its_end(
    cluster: FakeCluster, ignore_verify: bool
) -> None:
    make(cluster)
    note = "out-of-sync"

    def fail(caller: str, node: str, operation: str) -> None:
        if operation == "vm.undefine":
            notes.write(cluster.hosts["n2"].settings.notes, "mcv-web1-1", note, out_of_sync=4096)

    cluster.spy = fail
    how = {"start_after_migration": True, "ignore_verify": ignore_verify}
    refusal = pytest.raises(DoneInPart, match=r"is done, but: The last verification of web1 failed")

    with contextlib.nullcontext() if ignore_verify else refusal:
        cluster.run("n1", migrate.migrate, name="web1", to="n2", **how)

    assert cluster.read("n1").vm("web1").node == "n2"
    assert cluster.read("n1").vm("web1").claim is None
    assert cluster.domains["n2"].active == ({"web1": "running"} if ignore_verify else {})


def test_a_running_vm_is_not_moved_unless_waited_for(cluster: FakeCluster) -> None:
    make(cluster)
    cluster.run("n1", power.start, name="web1")
    before = cluster.picture()

    with pytest.raises(Refused, match="running"):
        cluster.run("n1", migrate.migrate, name="web1", to="n2")
    with pytest.raises(Refused, match="has not shut down within"):
        cluster.run(
            "n1", migrate.migrate, name="web1", to="n2", wait_for_shutdown=True, timeout=0.1
        )

    assert cluster.picture() == before


def test_a_guest_that_was_asked_and_runs_on_may_still_end(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(cluster)
    cluster.run("n1", power.start, name="web1")
    monkeypatch.setattr(cluster.domains["n1"], "shutdown", lambda name: None)

    with pytest.raises(DoneInPart, match="was asked to shut down and has not within") as ended:
        cluster.run("n1", power.shutdown, name="web1", wait=True, timeout=0.1)

    assert ended.value.exit_code == 4 and "mcv stop web1" in ended.value.hint
    assert cluster.domains["n1"].state("web1") == "running"


def test_a_move_that_waits_says_that_nobody_has_asked_the_guest(cluster: FakeCluster) -> None:
    make(cluster)
    cluster.run("n1", power.start, name="web1")

    with pytest.raises(Refused, match="and nobody asked it to") as refused:
        cluster.run(
            "n1", migrate.migrate, name="web1", to="n2", wait_for_shutdown=True, timeout=0.1
        )

    assert "mcv shutdown web1" in refused.value.hint
    job = cluster.hosts["n1"].jobs.listed()[-1]
    assert "nobody has asked it to. Next: mcv shutdown web1" in job["progress"][0]["what"]


def test_a_coordinator_that_is_gone_after_the_new_owner_was_written_down_finishes(
    cluster: FakeCluster,
) -> None:
    make(cluster)

    def die(caller: str, node: str, operation: str) -> None:
        if operation == "vm.undefine":
            raise SystemExit

    cluster.spy = die
    with pytest.raises(SystemExit):
        cluster.run("n1", migrate.migrate, name="web1", to="n2")
    cluster.spy = lambda caller, node, operation: None
    cluster.boot("n1")
    cluster.look("n1")

    assert journal_recovery.resume_all(cluster.hosts["n1"]) == ["migrate web1 to n2"]

    assert cluster.read("n1").vm("web1").node == "n2"
    assert cluster.read("n2").vm("web1").claim is None
    assert set(cluster.domains["n1"].defined) == set()
    assert list(cluster.hosts["n1"].journal.entries()) == []


def test_a_verification_that_finds_something_blocks_until_resync_and_a_clean_one(
    cluster: FakeCluster,
) -> None:
    make(cluster)
    cluster.world.out_of_sync["mcv-web1-1"] = 4096

    rows = cluster.run("n1", verify.verify, name="web1")

    assert [(row["result"], row["out_of_sync"]) for row in rows] == [("out-of-sync", 4096)]
    for operation, params in ((power.start, {}), (migrate.migrate, {"to": "n2"})):
        with pytest.raises(Refused, match="last verification of web1 failed") as refused:
            cluster.run("n1", operation, name="web1", **params)
        assert "mcv resync web1" in refused.value.hint
    cluster.run("n1", resync.resync, name="web1")
    with pytest.raises(Refused, match="last verification"):
        cluster.run("n1", power.start, name="web1")
    rows = cluster.run("n1", verify.verify, name="web1")
    assert rows[0]["result"] == "clean"
    cluster.run("n1", power.start, name="web1")


def test_a_late_note_of_a_finding_on_either_side_is_covered_by_the_record(
    cluster: FakeCluster,
) -> None:
    make(cluster)
    cluster.world.out_of_sync["mcv-web1-1"] = 4096
    cluster.run("n1", verify.verify, name="web1")
    for host in cluster.hosts.values():
        notes.write(host.settings.notes, "mcv-web1-1", "out-of-sync", when=timestamp())
    generation = cluster.read().generation

    for host in cluster.hosts.values():
        verification_results.conclude(host)

    assert cluster.read().generation == generation
    assert [notes.blocked(host.settings.notes) for host in cluster.hosts.values()] == [[], []]


def test_a_note_that_nothing_covers_blocks_and_is_written_down(cluster: FakeCluster) -> None:
    make(cluster)
    host = cluster.hosts["n2"]
    notes.write(host.settings.notes, "mcv-web1-1", "out-of-sync", when=timestamp())

    verification_results.conclude(host)

    assert cluster.read("n1").vm("web1").blocked
    assert notes.blocked(host.settings.notes) == []


def test_an_interrupted_verification_is_not_clean_and_lifts_no_mark(
    cluster: FakeCluster,
) -> None:
    make(cluster)
    cluster.world.out_of_sync["mcv-web1-1"] = 4096
    cluster.run("n1", verify.verify, name="web1")
    cluster.world.out_of_sync.clear()
    cluster.drbd["n1"].broken.add("interrupt")

    rows = cluster.run("n1", verify.verify, name="web1")

    assert rows[0]["result"] == "interrupted"
    assert cluster.read("n2").vm("web1").blocked


def test_ignoring_a_failed_verification_is_recorded(cluster: FakeCluster) -> None:
    make(cluster)
    cluster.world.out_of_sync["mcv-web1-1"] = 4096
    cluster.run("n1", verify.verify, name="web1")

    cluster.run("n1", power.start, name="web1", ignore_verify=True)

    override = cluster.read("n2").vm("web1").override
    assert override is not None and (override.who, override.what) == ("alice", "start")


def test_a_deleted_vm_leaves_nothing(cluster: FakeCluster) -> None:
    before = cluster.picture()
    make(cluster)
    cluster.run("n1", power.start, name="web1")
    with pytest.raises(Refused, match="running"):
        cluster.run("n1", delete.delete, name="web1")
    cluster.run("n1", power.stop, name="web1")

    cluster.run("n1", delete.delete, name="web1")

    after = cluster.picture()
    for name in ("n1", "n2"):
        assert after[name][1:] == before[name][1:]
        assert after[name][0]["vms"] == {}


def test_a_claimed_vm_is_busy_and_the_word_names_the_job(cluster: FakeCluster) -> None:
    make(cluster)
    host = cluster.hosts["n1"]
    host.update("vm.claim", "", name="web1", why="migrate web1 to n2")

    with pytest.raises(Busy, match="web1 is busy: migrate web1 to n2") as busy:
        cluster.run("n1", power.start, name="web1")

    assert "mcv job wait" in busy.value.hint


def test_a_claim_that_nobody_knows_is_released(cluster: FakeCluster) -> None:
    make(cluster)
    cluster.hosts["n1"].update("vm.claim", "", name="web1", why="lost")

    journal_recovery.resume_all(cluster.hosts["n1"])

    assert cluster.read("n2").vm("web1").claim is None


def test_a_list_answers_with_a_peer_down(cluster: FakeCluster) -> None:
    make(cluster)
    cluster.run("n1", migrate.migrate, name="web1", to="n2")
    cluster.down.add("n2")

    rows = vms.list_(cluster.hosts["n1"])

    assert rows[0].state == "unknown"
    assert "n2 does not answer" in str(rows[0].attention)


def test_a_network_wants_its_bridge_on_every_node(cluster: FakeCluster) -> None:
    cluster.bridges["n2"].names = ("br-other",)
    before = cluster.picture()

    with pytest.raises(Refused, match="n2 has no bridge br-lan"):
        cluster.run("n1", network.create, name="lan", bridge="br-lan")

    assert cluster.picture() == before


def test_a_network_in_use_is_not_deleted(cluster: FakeCluster) -> None:
    cluster.run("n1", network.create, name="lan", bridge="br-lan")
    cluster.run("n1", create.create, name="web1", memory="64MiB", networks=["lan"])

    with pytest.raises(Refused, match="used by web1"):
        cluster.run("n1", network.delete, name="lan")

    listed = [
        {key: row[key] for key in ("name", "bridge", "vms")}
        for row in plain(network.list_(cluster.hosts["n2"]))
    ]
    assert listed == [{"name": "lan", "bridge": "br-lan", "vms": 1}]


def test_a_vm_is_registered_again_where_it_belongs(cluster: FakeCluster) -> None:
    make(cluster)
    cluster.run("n1", register.unregister, name="web1")
    assert "mcv register web1" in str(vms.list_(cluster.hosts["n2"])[0].attention)

    cluster.run("n1", register.register, name="web1")

    assert set(cluster.domains["n1"].defined) == {"web1"}
    with pytest.raises(NotFound):
        cluster.run("n1", register.register, name="web9")


def test_a_repair_that_leaves_something_says_what_is_in_the_way(cluster: FakeCluster) -> None:
    make(cluster)
    host = cluster.hosts["n1"]

    def away(caller: str, node: str, operation: str) -> None:
        if operation == "vm.undefine":
            raise PeerUnreachable("n1 does not answer itself.")

    cluster.spy = away
    with pytest.raises(RepairNeeded):
        cluster.run("n1", migrate.migrate, name="web1", to="n2")

    told = [
        *(left.trouble for left in journal_recovery.resume_here(host).left),
        *(left.trouble for left in report.report(host).left),
        *(left.trouble for left in inventory.inventory(host).unfinished),
    ]

    assert told == ["stopped half-way: n1 does not answer itself."] * 3
    cluster.boot("n1")  # out of contact: nothing is tried, and that is told
    told = [left.trouble for left in journal_recovery.left(cluster.hosts["n1"])]
    assert "n1 has not heard from n2 since it started" in told[0]


def test_the_daemons_log_tells_what_was_done_and_by_whom(
    cluster: FakeCluster, caplog: pytest.LogCaptureFixture
) -> None:
    host = cluster.hosts["n1"]
    caplog.set_level("INFO")
    make(cluster)
    for _ in range(2):
        job = host.jobs.begin("start web1", "alice")
        host.jobs.run(job, lambda: plain(power.start(host, "web1")))
        assert f"(job {job.id})" in caplog.text

    assert "start web1, asked for by alice: done (job " in caplog.text
    assert "start web1, asked for by alice: web1 is running already." in caplog.text


def test_what_resists_being_undone_stays_in_the_journal_until_it_gives_in(
    cluster: FakeCluster,
) -> None:
    cluster.domains["n1"].broken.add("define")
    cluster.lvm["n2"].broken.add("remove")
    with pytest.raises(RepairNeeded, match="is not undone yet"):
        make(cluster)
    assert cluster.read("n2").vm("web1").claim is not None
    cluster.lvm["n2"].broken.clear()

    settled = journal_recovery.resume_all(cluster.hosts["n1"])

    assert settled == ["create web1"]
    assert "web1" not in cluster.read("n2").vms
    assert cluster.lvm["n1"].made == cluster.lvm["n2"].made == {}
