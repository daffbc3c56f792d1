"""What mcv's own etcd starts by: real members, started by the very file that mcv writes."""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mcv.document import etcd_voters
from mcv.drivers.etcd_unit import DEBIANS, EtcdUnit
from mcv.errors import (
    CallLost,
    CommandFailed,
    McvError,
    PeerUnreachable,
    Refused,
    StoreFull,
    SystemFailed,
)
from mcv.etcd.client import Etcd
from mcv.etcd.config import url
from mcv.etcd.members import Upkeep
from mcv.etcd.requests import put
from tests.documents import after, document
from tests.etcd.nodes import ADDRESSES, Nodes, variables
from tests.etcd.server import PATIENCE

UNIT_FILE = Path(__file__).parents[2] / "etc" / "mcv-etcd.service"


@pytest.fixture
def three(tmp_path: Path) -> Iterator[Nodes]:
    three = Nodes(tmp_path)
    yield three
    for systemd in three.systemd.values():
        systemd.end()


def test_three_nodes_set_up_by_the_document_serve_each_other(three: Nodes) -> None:
    for name in ADDRESSES:
        three.set_up(name)
        three.units[name].start()
    gateway = three.gateway("n2")
    assert gateway.endpoints[0].name == "n2"
    etcd, upkeep = Etcd(gateway), Upkeep(gateway)
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        with contextlib.suppress(McvError):
            etcd.read(b"/")
            break
    for unit in three.units.values():
        unit.mark()

    assert etcd.change([], [put(b"/x", b"1")]).succeeded
    assert {each.name for each in upkeep.members()} == set(ADDRESSES)
    assert all(upkeep.status(at).version == "3.4.23" for at in gateway.endpoints)
    assert not any(unit.has_lost_data for unit in three.units.values())

    (three.units["n3"].directory / "etcd.env").unlink()
    assert three.units["n3"].is_there  # it was killed while it deleted all of it, and goes on
    three.units["n3"].discard()
    assert three.systemd["n3"].process is None
    assert not three.units["n3"].is_there
    assert sorted(each.name for each in three.units["n3"].directory.iterdir()) == [
        *("bundle.pem", "certificate.pem", "log"),
    ]
    three.units["n3"].discard()


def test_each_node_waits_until_all_voters_are_there_and_tells_their_state(three: Nodes) -> None:
    local = {name: each for name, each in three.local().items() if name in ADDRESSES}
    voters = three.terms.voters
    for name in ("n1", "n2"):
        local[name].set_up(name, three.terms, "new")
        local[name].unit.start()

    with pytest.raises(PeerUnreachable, match="etcd of n3 has not started, as n1 sees it"):
        local["n1"].await_voters("n1", voters, 6.0)
    local["n3"].set_up("n3", three.terms, "new")
    local["n3"].unit.start()
    for name in ADDRESSES:
        local[name].await_voters(name, voters, 60.0)

    shown = local["n2"].shown(voters)
    assert sorted(voter.state for voter in shown) == ["leader", "voter", "voter"]
    assert all(voter.size > 0 and voter.fsync_ms for voter in shown)
    three.systemd["n3"].end()
    assert local["n2"].shown(voters)[2].state == "unreachable"
    assert voters[0].certificate == local["n1"].certificate("127.0.0.1")
    assert voters[0].certificate != local["n1"].certificate("127.0.0.9")


def test_room_is_made_before_etcd_is_full_and_after_the_leader_last(three: Nodes) -> None:
    local = {name: each for name, each in three.local().items() if name in ADDRESSES}
    voters = three.terms.voters
    for name, each in local.items():
        each.quota = 2 * 1024**2
        each.set_up(name, three.terms, "new")
        each.unit.start()
    for name, each in local.items():
        each.await_voters(name, voters, 60.0)
    gateway = three.reach("n1", voters)
    etcd = Etcd(gateway)

    assert not any(each.keep_room(name, voters) for name, each in local.items())
    with pytest.raises(StoreFull):
        for _ in range(60):
            etcd.change([], [put(b"/big", bytes(100_000))])
    assert [voter.state for voter in local["n1"].shown(voters)] == ["full"] * 3
    for each in local.values():
        each.quota = 2 * 1024**3  # as of a version that gives etcd more, once it is started anew
    made = [each.keep_room(name, voters) for name, each in local.items()]

    assert sorted(made) == [False, False, True]
    assert etcd.change([], [put(b"/big", b"small")]).succeeded
    shown = local["n2"].shown(voters)
    assert all(voter.size < 1024**2 for voter in shown)
    assert not any(voter.state == "full" for voter in shown)
    gateway.close()


def test_a_member_that_compacts_for_seconds_gives_its_room_back_too(three: Nodes) -> None:
    local = {name: each for name, each in three.local().items() if name in ADDRESSES}
    voters = three.terms.voters
    for name, each in local.items():
        each.set_up(name, three.terms, "new")
        each.unit.start()
    for name, each in local.items():
        each.await_voters(name, voters, 60.0)
        each.quota = 4 * 1024**2  # reckoned with here, where etcd itself has more
    gateway = three.reach("n1", voters)
    puts = [put(f"/{number}".encode(), bytes(20)) for number in range(128)]
    for _ in range(150):
        with contextlib.suppress(CallLost):  # a busy host's disk may need longer than is waited
            Etcd(gateway).change([], puts)

    made = [each.keep_room(name, voters) for name, each in local.items()]

    assert sorted(made) == [False, False, True]
    assert all(voter.size < 1024**2 for voter in local["n2"].shown(voters))
    gateway.close()


def test_what_etcd_is_told(three: Nodes) -> None:
    told = variables(three.configuration("n1").text())

    expected = {
        "PRE_VOTE": "true",
        "HEARTBEAT_INTERVAL": "250",
        "ELECTION_TIMEOUT": "2500",
        "AUTO_COMPACTION_MODE": "periodic",
        "AUTO_COMPACTION_RETENTION": "1h",
        "QUOTA_BACKEND_BYTES": str(2 * 1024**3),
        "LISTEN_CLIENT_URLS": f"https://127.0.0.1:{three.port}",
        "LISTEN_PEER_URLS": f"https://127.0.0.1:{three.peer_port}",
        "CLIENT_CERT_AUTH": "true",
        "PEER_CLIENT_CERT_AUTH": "true",
    }
    assert {name: told[f"ETCD_{name}"] for name in expected} == expected
    assert url("2001:db8::1", 8421) == "https://[2001:db8::1]:8421"


def test_a_member_that_has_lost_its_data_is_not_set_up_again(three: Nodes) -> None:
    three.set_up("n1")
    (three.units["n1"].directory / "data" / "member").mkdir(parents=True)
    three.units["n1"].mark()
    three.set_up("n1")
    (three.units["n1"].directory / "data" / "member").rmdir()

    assert three.units["n1"].has_lost_data
    with pytest.raises(Refused, match="lost its data"):
        three.set_up("n1")


def test_no_mark_is_made_where_etcd_has_never_run(three: Nodes) -> None:
    three.set_up("n1")

    three.units["n1"].mark()

    assert not three.units["n1"].has_lost_data


def test_a_host_without_etcd_is_told_what_to_install(three: Nodes, tmp_path: Path) -> None:
    unit = EtcdUnit(tmp_path / "e", three.systemd["n1"].run, tmp_path / "no-etcd")

    with pytest.raises(Refused, match="has no etcd") as told:
        unit.set_up(three.configuration("n1"), "", "")

    assert told.value.hint == "Install it: apt install etcd-server"
    assert not (tmp_path / "e").exists()


def test_other_files_than_etcd_was_started_by_are_told(three: Nodes) -> None:
    three.set_up("n1")
    asked = three.configuration("n1"), three.cluster.nodes["n1"].etcd_certificate
    bundle = etcd_voters.bundle(three.cluster)
    assert not three.units["n1"].runs_by(*asked, bundle)

    three.units["n1"].start()

    assert three.units["n1"].runs_by(*asked, bundle)
    assert not three.units["n1"].runs_by(*asked, "others\n")
    alone = replace(asked[0], members={"n1": "x"}, state="existing")
    assert three.units["n1"].runs_by(alone, asked[1], bundle)
    assert not three.units["n1"].runs_by(replace(asked[0], pace=2), asked[1], bundle)
    three.units["n1"].set_up(asked[0], asked[1], "others\n")
    assert three.units["n1"].runs_by(*asked, bundle)  # etcd reads them at its start alone
    three.units["n1"].start()
    assert not three.units["n1"].runs_by(*asked, "others\n")
    three.units["n1"].restart()
    assert three.units["n1"].runs_by(*asked, "others\n")


def test_a_unit_that_has_failed_is_started_all_the_same(tmp_path: Path) -> None:
    commands: list[str] = []

    def run(*command: str, stdin: str = "", timeout: float = 60) -> str:
        commands.append(command[1])
        return "failed\n"

    EtcdUnit(tmp_path, run).start()

    assert commands == ["show", "show", "reset-failed", "start"]


@pytest.mark.parametrize("was", ["active", "inactive"])
def test_debians_own_etcd_is_masked_while_mcvs_is_there(tmp_path: Path, was: str) -> None:
    ran: list[str] = []
    load = ["loaded"]

    def run(*command: str, stdin: str = "", timeout: float = 60) -> str:
        if command[1] == "show":
            state = was if DEBIANS in command else "inactive"
            return f"LoadState={load[0]}\nActiveState={state}\n"
        ran.append(" ".join(command[1:]))
        if command[1] == "mask":
            load[0] = "masked"
        return ""

    unit = EtcdUnit(tmp_path, run)
    unit.start()
    unit.start()
    assert ran.count(f"mask --now {DEBIANS}") == 1 and ran[0] == f"mask --now {DEBIANS}"

    ran.clear()
    unit.discard()
    unit.discard()
    assert ran == [f"unmask {DEBIANS}", *[f"start {DEBIANS}"] * (was == "active")]


def test_what_somebody_else_has_masked_stays_so(tmp_path: Path) -> None:
    ran: list[str] = []

    def run(*command: str, stdin: str = "", timeout: float = 60) -> str:
        ran.append(command[1])
        return "LoadState=masked\nActiveState=inactive\n" if command[1] == "show" else ""

    unit = EtcdUnit(tmp_path, run)
    unit.start()
    unit.discard()

    assert not {"mask", "unmask"} & set(ran)


def test_a_host_without_systemd_runs_no_etcd(tmp_path: Path) -> None:
    def run(*command: str, stdin: str = "", timeout: float = 60) -> str:
        raise CommandFailed("systemctl is missing.")

    assert not EtcdUnit(tmp_path, run).is_running()
    with pytest.raises(CommandFailed):
        EtcdUnit(tmp_path, run).start()


def test_no_room_for_its_files_leaves_nothing_that_starts(
    three: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, text: str, mode: int = 0o600) -> None:
        raise SystemFailed(f"{path}: No space left on device.")

    monkeypatch.setattr("mcv.system.files.write_atomically", full)

    with pytest.raises(SystemFailed):
        three.set_up("n1")
    assert not three.units["n1"].is_set_up


def test_the_unit_names_the_files_that_mcv_writes(three: Nodes) -> None:
    text = UNIT_FILE.read_text()

    for name in ("etcd.env", "member", "data/member"):
        assert f"/var/lib/mcv/etcd/{name}\n" in text
    assert "EnvironmentFile=/var/lib/mcv/etcd/etcd.env\n" in text


# The rules of who votes


def test_a_witness_votes_and_is_trusted_and_so_is_a_member_that_does_not_vote() -> None:
    base = document("n1", "n2", "n3")
    for name in base.nodes:
        base = after(base, "node.etcd", name=name, certificate=f"of {name}")
    witness = {"name": "w1", "ip_address": "192.0.2.9", "certificate": "of w1"}
    base = after(base, "witness.set", **witness)
    cluster = after(base, "store.etcd", id="abc", voters=["n1", "n2"], epoch="e2")

    assert [voter.name for voter in etcd_voters.voters(cluster)] == ["n1", "n2", "w1"]
    first = [f"certificate of {name}" for name in ("n1", "n2", "n3")]
    second = ["of n1", "of n2", "of n3", "of w1"]
    assert etcd_voters.bundle(cluster).splitlines() == [*first, *second]
    assert etcd_voters.bundle(cluster, "n2", "new").splitlines() == [
        *("certificate of n1", "certificate of n3", "new", "of n1", "of n3", "of w1")
    ]
    assert [at.name for at in etcd_voters.endpoints(cluster, 1, "w1")] == ["w1", "n1", "n2"]
    without = after(cluster, "node.remove", name="n3")
    assert etcd_voters.bundle_digest(without) != etcd_voters.bundle_digest(cluster)
    assert "n2 and w1, and both would be needed" in etcd_voters.refusal_of_fewer(cluster, "n1")
    assert etcd_voters.refusal_of_fewer(cluster, "n3") == ""
    assert etcd_voters.voters(base) == []


@pytest.mark.parametrize(
    ("answering", "all_", "expected"), [(2, 3, True), (1, 3, False), (2, 4, False), (3, 5, True)]
)
def test_a_majority(answering: int, all_: int, expected: bool) -> None:
    assert etcd_voters.has_quorum(answering, all_) is expected
