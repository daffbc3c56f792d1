"""mcv ha arm, disarm, status and settings: what is refused at once, what is done, what is shown."""

from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from mcv.cluster import (
    arming,
    arming_steps,
    etcd_store,
    failsafe_rounds,
    ha_settings,
    ha_status,
    lease_keeping,
    members,
)
from mcv.cluster.arming import Armed, Disarmed
from mcv.document.availability import HostWatchdog
from mcv.document.etcd_voters import Voter
from mcv.drbd import enable, inherited
from mcv.drivers.drbd_states import ReplicationState
from mcv.drivers.etcd_local import VoterShown
from mcv.drivers.watchdogs import WatchdogSeen
from mcv.errors import Busy, DoneInPart, Failed, Refused
from mcv.etcd.keys import ClusterKeys
from mcv.etcd.requests import put
from mcv.ha.armed import write as write_armed
from mcv.ha.values import Held, Mark, decode_mark
from mcv.host import DryRun
from mcv.system import lease
from mcv.system.watchdog import SOFTDOG
from mcv.vm import create
from tests.fakes.cluster import FakeCluster

RESOURCE = "mcv-web1-1"
FOREIGN = "<domain><name>router</name><uuid>00000000-0000-0000-0000-00000000000f</uuid></domain>"


def looked(cluster: FakeCluster) -> FakeCluster:
    for name in cluster.hosts:
        cluster.look(name)
    return cluster


@pytest.fixture
def in_etcd(three: FakeCluster) -> FakeCluster:
    """Three nodes whose document lies in etcd, with web1 on n1, replicated to n2."""
    three.run("n1", create.create, name="web1", memory="64MiB", disks=["64MiB"], nodes=["n1", "n2"])
    three.run("n1", etcd_store.to_etcd)
    for host in three.hosts.values():
        enable.adjust(host)
    return looked(three)


@pytest.fixture
def armed(in_etcd: FakeCluster) -> FakeCluster:
    arm(in_etcd)
    return in_etcd


@pytest.fixture(autouse=True)
def not_awaited(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lease that is not had at once is not had at all here."""
    monkeypatch.setattr("mcv.cluster.arming_steps.LEASE", 0.0)
    monkeypatch.setattr(arming, "ASK", 0.5)
    monkeypatch.setattr(arming, "SETTLE", 0.0)


def arm(cluster: FakeCluster, **params: object) -> object:
    return cluster.run("n1", arming.arm, **params)


def stale(cluster: FakeCluster) -> dict[str, str]:
    store = cluster.read().store
    prefix = ClusterKeys(store.id if store else "").marks
    found = cluster.etcd.below(prefix).kvs
    marks = {each.key.removeprefix(prefix).decode(): each.value.decode() for each in found}
    return {resource: decode_mark(text).node for resource, text in marks.items()}


def problems(cluster: FakeCluster, **params: object) -> list[str]:
    with pytest.raises(Refused) as told:
        cluster.run("n1", arming.arm, **params)
    return [message for message, _ in told.value.problems] or [told.value.message]


# Armed


def test_every_node_gets_its_lease_and_then_the_document_says_armed(in_etcd: FakeCluster) -> None:
    arm(in_etcd, pace=2)
    looked(in_etcd)

    cluster = in_etcd.read("n3")
    assert (cluster.ha.armed, cluster.ha.pace) == (True, 2)
    for name, host in in_etcd.hosts.items():
        assert cluster.node(name).watchdog == HostWatchdog(
            kind="iTCO_wdt", device="/dev/watchdog0", timeout=16, grain=1.0, hardware=True
        )
        told = host.lease.told()
        assert told is not None
        assert (told.node, told.validity, told.watchdog, told.renewal) == (name, 24.0, 16.0, 4.0)
        assert told.proves and told.voters[0].name == name
        assert told.cluster == (cluster.store.id if cluster.store else "")
    assert not any(node.claim for node in cluster.nodes.values())


def test_the_plan_is_shown_with_what_no_step_says_and_nothing_is_done(
    in_etcd: FakeCluster,
) -> None:
    in_etcd.domains["n2"].defined["router"] = FOREIGN
    in_etcd.domains["n2"].active["router"] = "running"
    before = in_etcd.picture()

    dry = in_etcd.run("n1", arming.arm, dry_run=True)

    assert isinstance(dry, DryRun)
    assert any("n2: router are not mcv's; a reset takes them along" in line for line in dry.plan)
    words = [line.split(" ")[1] for line in dry.plan if ": ha." in line]
    assert words == [
        "ha.prepare",
        *["ha.take_up"] * 3,
        *["ha.await_lease"] * 3,
        *["ha.mark"] * 3,
        "ha.arm",
        *["ha.await_adjusted"] * 3,
    ]
    assert in_etcd.picture() == before
    assert not any(dogs.measured for dogs in in_etcd.watchdogs.values())


def test_where_a_node_gets_no_lease_all_leases_are_given_back(in_etcd: FakeCluster) -> None:
    in_etcd.hosts["n3"].lease.has_no_lease = True  # type: ignore[attr-defined]

    with pytest.raises(Failed, match="n3 has no lease within"):
        in_etcd.run("n1", arming.arm)

    assert not in_etcd.read().ha.armed
    assert [host.lease.told() for host in in_etcd.hosts.values()] == [None] * 3


def test_a_lease_that_was_given_back_is_not_waited_for(in_etcd: FakeCluster) -> None:
    with pytest.raises(Busy, match="was given back meanwhile"):
        arming_steps.await_lease(in_etcd.hosts["n1"], node="n1")


def test_in_an_armed_cluster_a_lost_peer_is_noticed_sooner(in_etcd: FakeCluster) -> None:
    file = in_etcd.hosts["n2"].settings.drbd_directory / f"{RESOURCE}.res"
    before = file.read_text()
    arm(in_etcd)

    for name in ("n1", "n2"):
        in_etcd.look(name)
        enable.adjust(in_etcd.hosts[name])
    assert "ping-int 3;" in file.read_text()

    in_etcd.run("n1", arming.disarm)
    in_etcd.look("n2")
    enable.adjust(in_etcd.hosts["n2"])
    assert file.read_text() == before


# What stands in the way


def test_everything_that_is_missing_is_said_at_once(three: FakeCluster) -> None:
    three.run("n3", members.offline, names=["n3"])
    looked(three)
    three.hosts["n1"].lease.is_installed = False  # type: ignore[misc]
    three.watchdogs["n2"].seen = None

    assert problems(three) == [
        "Leases lie in etcd, and the document does not.",
        "n3 is offline, and every member gets a lease.",
        "mcv-lease is not installed on n1.",
        "n2 has no watchdog, and its kernel has no softdog.",
    ]


def test_a_watchdog_that_is_used_cannot_be_ended_or_counts_too_little_is_none(
    in_etcd: FakeCluster,
) -> None:
    one, two, other = (in_etcd.watchdogs[name] for name in ("n1", "n2", "n3"))
    one.systemd = ["RebootWatchdogSec=10min"]
    assert two.seen is not None and other.seen is not None
    two.seen = replace(two.seen, nowayout=True, ends_when_closed=True)
    two.open_by = ["wd_keepalive (7)"]
    other.seen = replace(other.seen, most=7)

    assert problems(in_etcd) == [
        "systemd on n1 uses /dev/watchdog0 itself: RebootWatchdogSec=10min.",
        "/dev/watchdog0 of n2 is in use by wd_keepalive (7).",
        "/dev/watchdog0 of n2 was built or loaded with nowayout: it could never be disarmed.",
        "The driver of /dev/watchdog0 on n2 ends its watchdog whenever it is closed: one that dies "
        "would leave guests that nothing ends.",
        "/dev/watchdog0 of n3 counts 7 s at most, and pace 1 needs 8 s.",
    ]


def test_softdog_and_virtual_hosts_need_somebody_s_word(in_etcd: FakeCluster) -> None:
    in_etcd.watchdogs["n1"].seen = WatchdogSeen(device="", kind=SOFTDOG)
    in_etcd.watchdogs["n2"].vm = "kvm"

    assert problems(in_etcd) == [
        "n1 has no watchdog but softdog, which is frozen where its kernel is.",
        "n2 is a virtual machine (kvm), which is frozen with its watchdog.",
    ]
    arm(in_etcd, trust_softdog=True)

    assert in_etcd.watchdogs["n1"].reloaded == 1
    nodes = in_etcd.read().nodes
    hardware = {name: node.watchdog and node.watchdog.hardware for name, node in nodes.items()}
    assert hardware == {"n1": False, "n2": False, "n3": True}
    told = in_etcd.hosts["n1"].lease.told()
    assert told is not None and told.proves and told.device == "/dev/watchdog1"


def test_what_is_measured_has_to_keep_the_inequality(in_etcd: FakeCluster) -> None:
    in_etcd.watchdogs["n1"].takes = 60
    in_etcd.watchdogs["n2"].grain = 17.0
    in_etcd.watchdogs["n3"].is_broken = True

    assert problems(in_etcd) == [
        "The watchdog of n1 counts 60 s and resets up to 1 s later; pace 1 wants 8 s.",
        "The watchdog of n2 counts 8 s and resets up to 17 s later; pace 1 wants 8 s.",
        "/dev/watchdog0 of n3 cannot be tried: /dev/watchdog0: Device or resource busy",
    ]
    assert in_etcd.read().node("n1").watchdog is None


def test_a_grain_makes_everybody_wait_longer(in_etcd: FakeCluster) -> None:
    in_etcd.watchdogs["n2"].grain = 8.0

    arm(in_etcd)

    assert in_etcd.run("n1", ha_status.status).wait == 29


@pytest.mark.parametrize("pace", [0, 11])
def test_a_pace_that_is_none_is_refused(in_etcd: FakeCluster, pace: int) -> None:
    assert problems(in_etcd, pace=pace) == [f"{pace} is no pace."]


def test_etcd_that_is_not_well_stands_in_the_way(
    in_etcd: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = in_etcd.etcd_of["n1"].shown
    monkeypatch.setattr(
        in_etcd.etcd_of["n1"],
        "shown",
        lambda voters: [*real(voters)[:-1], replace(real(voters)[-1], state="unreachable")],
    )

    assert problems(in_etcd) == ["etcd on n3 is not well."]


def test_a_voter_that_answers_late_is_asked_again(
    in_etcd: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arming, "SETTLE", 10.0)
    monkeypatch.setattr(arming, "PAUSE", 0.0)
    real, asked = in_etcd.etcd_of["n1"].shown, []

    def shown(voters: Sequence[Voter]) -> list[VoterShown]:
        asked.append(voters)
        state = "voter" if len(asked) > 2 else "unreachable"
        return [replace(voter, state=state) for voter in real(voters)]

    monkeypatch.setattr(in_etcd.etcd_of["n1"], "shown", shown)

    assert isinstance(in_etcd.run("n1", arming.arm, dry_run=True), DryRun)
    assert len(asked) == 4  # the look, twice more; and the look before the plan


# What is inherited


def cut(cluster: FakeCluster) -> None:
    """The replicas of web1 are apart, and its owner goes on alone."""
    replica = cluster.world.replicas[RESOURCE]
    replica["n1"].known_of_peer = replica["n2"].disk = "Outdated"
    cluster.drbd["n2"].standalone.add(RESOURCE)


def test_a_replica_that_is_behind_is_marked_before_the_document_says_armed(
    in_etcd: FakeCluster,
) -> None:
    cut(in_etcd)
    seen = []
    in_etcd.answered = lambda caller, node, operation: (
        seen.append(stale(in_etcd)) if operation == "ha.mark" and node == "n1" else None
    )

    arm(in_etcd)

    assert seen == [{RESOURCE: "n2"}]
    assert in_etcd.read().ha.armed and stale(in_etcd) == {RESOURCE: "n2"}
    shown = in_etcd.run("n2", ha_status.status)
    assert [(row.vm, row.behind) for row in shown.stale or []] == [("web1", "n2")]
    assert shown.attention == ["web1: the replica on n2 is behind, and takes nothing over"]


def test_a_resync_that_is_about_to_begin_is_marked(
    in_etcd: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    drbd = in_etcd.hosts["n1"].drbd
    real = drbd.status(RESOURCE)
    assert real is not None and real.both_up_to_date
    about_to = replace(real, replication=ReplicationState("WFBitMapS"))
    monkeypatch.setattr(drbd, "status", lambda _: about_to)

    assert [each.behind for each in inherited.out_of_step(in_etcd.hosts["n1"])] == ["n2"]


def test_an_owner_that_cannot_say_whose_data_is_the_newest_stands_in_the_way(
    in_etcd: FakeCluster,
) -> None:
    in_etcd.drbd["n1"].standalone.add(RESOURCE)
    assert problems(in_etcd) == ["web1 is StandAlone on n1: which data is the newest?"]

    in_etcd.drbd["n1"].standalone.clear()
    in_etcd.drbd["n2"].standalone.add(RESOURCE)
    in_etcd.world.replicas[RESOURCE]["n1"].disk = "Inconsistent"
    assert problems(in_etcd) == ["web1 is Inconsistent on n1: which data is the newest?"]

    in_etcd.drbd["n1"].down(RESOURCE)
    assert problems(in_etcd) == ["web1 is not up on n1: which data is the newest?"]


def test_a_mark_that_an_earlier_arming_left_is_taken_away(armed: FakeCluster) -> None:
    store = armed.read().store
    key = ClusterKeys(store.id if store else "").stale(RESOURCE)
    armed.run("n1", arming.disarm)
    looked(armed)
    armed.etcd.change([], [put(key, b"n2")])

    arm(armed)

    assert stale(armed) == {}


@pytest.mark.parametrize("left", [b"n1", Mark("n1", "n2").encode().encode()])
def test_a_mark_that_an_earlier_arming_left_of_the_other_replica_is_written_over(
    armed: FakeCluster, left: bytes
) -> None:
    armed.run("n1", arming.disarm)
    looked(armed)
    key = ClusterKeys(store.id if (store := armed.read().store) else "").stale(RESOURCE)
    armed.etcd.change([], [put(key, left)])
    cut(armed)

    arm(armed)

    assert stale(armed) == {RESOURCE: "n2"}


# Another pace


def test_an_armed_cluster_gets_another_pace_by_one_change(armed: FakeCluster) -> None:
    assert problems(armed) == ["The cluster is armed already, at pace 1."]

    answer = armed.run("n2", arming.arm, pace=3)
    looked(armed)
    for host in armed.hosts.values():
        lease_keeping.follow(host)

    assert answer == Armed(pace=3, wait=63, marked=[], foreign={})
    told = [host.lease.told() for host in armed.hosts.values()]
    assert {(each.validity, each.watchdog) for each in told if each} == {(36.0, 24.0)}
    assert len(in_use := [dogs.measured for dogs in armed.watchdogs.values()]) == 3
    assert {tuple(each) for each in in_use} == {(("/dev/watchdog0", 8),)}


def test_a_watchdog_of_few_timeouts_is_measured_anew_for_another_pace(
    in_etcd: FakeCluster,
) -> None:
    in_etcd.watchdogs["n2"].takes = 10
    arm(in_etcd)

    assert problems(in_etcd, pace=2) == [
        "The watchdog of n2 does not take every timeout, so it is tried anew."
    ]


# Disarmed


def test_disarming_is_one_change_and_then_every_lease_is_given_back(armed: FakeCluster) -> None:
    shown = armed.run("n1", arming.disarm, dry_run=True)
    assert shown.plan[0] == "document: ha.disarm" and armed.read().ha.armed

    answer = armed.run("n1", arming.disarm)

    assert answer == Disarmed(nodes=["n1", "n2", "n3"])
    assert not armed.read().ha.armed
    assert [host.lease.told() for host in armed.hosts.values()] == [None] * 3
    with pytest.raises(Refused, match="not armed"):
        armed.run("n1", arming.disarm)


def test_disarming_waits_for_members_that_do_not_answer(armed: FakeCluster) -> None:
    armed.down.add("n3")

    with pytest.raises(Refused, match="n3 is needed"):
        armed.run("n1", arming.disarm)

    assert armed.read().ha.armed


def test_a_lease_that_is_not_given_back_is_told_and_the_cluster_is_disarmed_all_the_same(
    armed: FakeCluster,
) -> None:
    armed.hosts["n2"].lease.does_not_end = True  # type: ignore[attr-defined]

    with pytest.raises(DoneInPart, match="n2 still has its lease"):
        armed.run("n1", arming.disarm)

    assert not armed.read().ha.armed
    shown = armed.run("n1", ha_status.status)
    assert shown.attention == ["n2: its watchdog still counts"]
    armed.hosts["n2"].lease.does_not_end = False  # type: ignore[attr-defined]
    armed.look("n2")
    lease_keeping.follow(armed.hosts["n2"])
    assert armed.hosts["n2"].lease.told() is None


# What a node does by itself


def test_after_a_boot_a_node_of_an_armed_cluster_takes_its_lease_up_again(
    armed: FakeCluster,
) -> None:
    armed.hosts["n2"].lease.release(0)

    lease_keeping.follow(armed.hosts["n2"])

    assert armed.hosts["n2"].lease.told() is not None
    lease_keeping.follow(armed.hosts["n2"])


def test_a_lease_of_an_etcd_that_was_left_is_given_back_first(
    armed: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody looks at it any more, and mcv-lease goes on with the etcd that it began with."""
    host = armed.hosts["n2"]
    told = host.lease.told()
    assert told is not None
    write_armed(replace(told, cluster="0123456789abcdef"), host.settings.run)
    released: list[float] = []
    real = host.lease.release

    def release(patience: float) -> None:
        released.append(patience)
        real(patience)

    monkeypatch.setattr(host.lease, "release", release)

    lease_keeping.follow(host)

    assert released and host.lease.told() == told
    lease_keeping.follow(host)
    assert len(released) == 1


def test_a_node_in_maintenance_has_no_lease(armed: FakeCluster) -> None:
    armed.run("n3", members.offline, names=["n3"])

    lease_keeping.follow(armed.hosts["n3"])

    assert armed.hosts["n3"].lease.told() is None
    looked(armed)
    assert [node.state for node in armed.run("n1", ha_status.status).nodes] == [
        *("online", "online", "maintenance"),
    ]


def test_what_an_arming_under_way_has_begun_is_not_taken_back(in_etcd: FakeCluster) -> None:
    in_etcd.run("n1", arming.arm, dry_run=True)
    host = in_etcd.hosts["n1"]
    host.consensus.propose(
        "ha.prepare",
        {
            "pace": 1,
            "trust_softdog": False,
            "watchdogs": {
                "n1": {
                    "kind": "iTCO_wdt",
                    "device": "/dev/watchdog0",
                    "timeout": 8,
                    "grain": 1.0,
                    "hardware": True,
                }
            },
        },
        id="j.0",
        who="",
        why="",
    )
    host.consensus.propose("node.claim", {"name": "n1", "why": "x"}, id="j.1", who="", why="")
    arming_steps.take_up(host, "n1")
    lease_keeping.follow(host)
    assert host.lease.told() is not None

    host.consensus.propose("node.release", {"name": "n1"}, id="j.2", who="", why="")
    lease_keeping.follow(host)
    assert host.lease.told() is None


# Status and settings


def test_status_says_who_has_a_lease_and_who_does_not_answer(armed: FakeCluster) -> None:
    armed.hosts["n2"].lease.has_no_lease = True  # type: ignore[attr-defined]
    armed.down.add("n3")

    shown = armed.run("n1", ha_status.status)

    assert (shown.armed, shown.quorum, shown.pace, shown.wait) == (True, True, 1, 22)
    assert (shown.manager, shown.term, shown.services) == (None, None, [])
    assert [(node.node, node.state, node.lease_left) for node in shown.nodes] == [
        ("n1", "online", 10.0),
        ("n2", "suspect", None),
        ("n3", "suspect", None),
    ]
    assert shown.attention == [
        "n2: it has no valid lease, so nothing starts there: mcv cluster store; on n2: "
        "journalctl -u mcv-lease",
        "n3: n3 does not answer.",
    ]


def test_the_lease_of_a_node_whose_mcvd_is_silent_is_watched_in_etcd(
    armed: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    monkeypatch.setattr(lease, "now", lambda: clock[0])
    store = armed.read().store
    key = ClusterKeys(store.id if store else "").lease("n3")
    armed.etcd.change([], [put(key, Held("b", 7, 12.0, 8.0, 1.0, True).encode().encode())])
    failsafe_rounds.look(armed.hosts["n1"])
    armed.down.add("n3")

    seen = []
    for passed in (3.0, 9.0):
        clock[0] = 100.0 + passed
        node = armed.run("n1", ha_status.status).nodes[2]
        seen.append((node.state, node.lease_left, node.lease_age, node.problem))

    assert seen == [
        ("online", 9.0, 3.0, "n3 does not answer. Its lease has not moved for 3 s."),
        ("suspect", 3.0, 9.0, "n3 does not answer. Its lease has not moved for 9 s."),
    ]


def test_without_a_majority_status_does_not_wait_for_the_marks(
    armed: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    armed.down |= {"n2", "n3"}
    asked: list[bytes] = []
    monkeypatch.setattr(armed.hosts["n1"].keyspace, "below", asked.append)

    shown = armed.run("n1", ha_status.status)

    assert (shown.quorum, shown.stale, asked) == (False, None, [])
    assert "etcd does not answer" in shown.attention[-1]


def test_status_of_a_cluster_that_is_not_armed(three: FakeCluster) -> None:
    shown = three.run("n1", ha_status.status)

    assert (shown.armed, shown.quorum, shown.wait, shown.stale) == (False, True, None, [])
    assert {(node.state, node.lease_left, node.watchdog) for node in shown.nodes} == {
        ("online", None, None)
    }
    assert shown.attention == []


def test_settings_are_shown_and_changed_and_all_that_is_wrong_is_told(armed: FakeCluster) -> None:
    wrong = {
        "on-lost-lease": "pray",
        "fence-trust": "at once",
        "start-grace": "-1",
        "notify": "root@n1, mail",
        "color": "red",
    }
    before = armed.read()
    with pytest.raises(Refused) as told:
        armed.run("n1", ha_settings.set_, values=wrong)
    assert len(told.value.problems) == 5
    assert armed.read() == before

    values = {"on-shutdown": "freeze", "start-grace": "60", "notify": "root@n1, /usr/bin/tell"}
    shown = armed.run("n1", ha_settings.set_, values=values)
    assert (shown.on_shutdown, shown.start_grace) == ("freeze", 60)
    assert shown.notify == ["root@n1", "/usr/bin/tell"]
    assert armed.read("n1").ha.notify == ("root@n1", "/usr/bin/tell")
    assert armed.run("n1", ha_settings.set_, values={"notify": ""}).notify == []

    answer = armed.run("n1", ha_settings.set_, values={"on-lost-lease": "reset"})
    assert answer.on_lost_lease == "reset" == armed.run("n1", ha_settings.show).on_lost_lease
    looked(armed)
    lease_keeping.follow(armed.hosts["n3"])
    told_n3 = armed.hosts["n3"].lease.told()
    assert told_n3 is not None and told_n3.on_lost == "reset"
