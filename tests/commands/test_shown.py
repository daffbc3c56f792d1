"""What a human reads: tables, one VM, errors of a repair, plans."""

import io
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mcv.commands import output
from mcv.commands.info import locked_text, verification_text
from mcv.commands.output import age, fields
from tests.commands.conftest import FakeDaemon, Speak, a_vm

CLUSTER = {
    "cluster": "n1",
    "epoch": 1,
    "generation": 7,
    "hash": "abc",
    "node": "n1",
    "nodes": [
        {
            "name": "n1",
            "ip_address": "192.0.2.1",
            "drbd_address": "198.51.100.1",
            "status": "online",
            "local": True,
            "version": "0.1.0",
        },
        {
            "name": "n2",
            "ip_address": "192.0.2.2",
            "drbd_address": "198.51.100.2",
            "status": "unreachable",
            "local": False,
            "version": None,
        },
    ],
    "vms": 3,
    "attention": ["n2 does not answer"],
}
DRBD = {
    "resource": "mcv-web1-1",
    "minor": 100,
    "port": 7900,
    "connection": "Connected",
    "role": "Primary",
    "peer_role": "Secondary",
    "disk": "UpToDate",
    "peer_disk": "Inconsistent",
    "done": 41.6,
}


SPLIT = {"severity": "error", "message": "split brain.", "hint": "mcv drbd list"}
BLOCKED = {"severity": "warning", "message": "blocked", "hint": ""}


def test_the_cluster_is_shown_with_this_node_marked(mcv: Speak, daemon: FakeDaemon) -> None:
    daemon.answers["cluster.info"] = CLUSTER

    lines = mcv("info").out.splitlines()

    assert lines[0] == "cluster:   n1"
    assert "node    ip address    drbd address    status       version" in lines
    assert "n1*     192.0.2.1     198.51.100.1    online       0.1.0" in lines
    assert lines[-2:] == ["attention:", "  n2 does not answer"]
    assert mcv("info --json").json == CLUSTER


def test_vms_are_listed_under_lower_case_headings(mcv: Speak, daemon: FakeDaemon) -> None:
    daemon.answers["vm.list"] = [a_vm(locked=True), a_vm("1e5", attention="split brain")]

    head, first, second = mcv("list").out.splitlines()

    assert " ".join(head.split()) == "name state node memory cpus storage flags attention"
    assert " ".join(first.split()) == "web1 running n1 512MiB 2 drbd locked"
    assert " ".join(second.split()) == "1e5 running n1 512MiB 2 drbd split brain"


@pytest.mark.parametrize(
    ("words", "operation"),
    [
        ("list", "vm.list"),
        ("network list", "network.list"),
        ("drbd list", "drbd.list"),
        ("job list", "job.list"),
        ("config history", "config.history"),
    ],
)
def test_an_empty_list_is_a_sentence_or_an_empty_json_list(
    mcv: Speak, daemon: FakeDaemon, words: str, operation: str
) -> None:
    daemon.answers[operation] = []

    assert mcv(words).out.startswith("There is no ")
    assert mcv(f"{words} --json").json == []


SENTENCE = "I/O is suspended: web1 on node1 waits until the state of node2 is known: bring it back"


@pytest.mark.parametrize(("width", "is_table"), [(80, True), (76, True), (60, False)])
def test_a_table_on_a_terminal_fits_it(
    monkeypatch: pytest.MonkeyPatch, width: int, is_table: bool
) -> None:
    monkeypatch.setattr("sys.stdout", Terminal())
    monkeypatch.setenv("COLUMNS", str(width))
    headings = ("name", "state", "node", "storage", "flags", "attention")
    rows = [
        ("web1", "running", "node1", "drbd", "", SENTENCE),
        ("a-vm-with-a-long-name", "stopped", "node2", "drbd", "locked", None),
    ]

    text = output.table(rows, headings)

    assert (text.splitlines()[0].split()[:2] == ["name", "state"]) == is_table
    assert "suspended:" in text
    if is_table:
        assert max(map(len, text.splitlines())) <= width
        words = " ".join(line[text.index("attention") :].strip() for line in text.splitlines())
        assert words.split() == ["attention", *SENTENCE.split()]
    else:
        assert f"attention:  {SENTENCE}" in text and "flags:    locked" in text


def test_a_table_that_goes_to_a_file_is_not_wrapped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")

    assert SENTENCE in output.table([("web1", SENTENCE)], ("name", "attention"))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


CARD = {"network": "lan", "mac": "52:54:00:00:00:01", "model": "virtio", "vlan": 0, "link": "up"}


def test_one_vm_is_shown_whole(mcv: Speak, daemon: FakeDaemon) -> None:
    disk = {"id": 1, "target": "vda", "size": 8 * 1024**3, "storage": "drbd", "pool": None}
    vm = {
        **a_vm(attention="split brain: mcv drbd list; x", findings=[SPLIT, BLOCKED]),
        "uuid": "1234",
        "disks": [{**disk, "path": "/dev/drbd100", "drbd": DRBD}],
        "networks": [{**CARD, "addresses": ["10.0.0.5"], "source": "agent"}],
        "verify": {"result": "clean", "when": "", "out_of_sync": 0, "blocked": False},
        "vnc": "127.0.0.1:5900",
        "agent": "answers",
    }
    daemon.answers["vm.info"] = vm

    out = mcv("info web1").out

    assert "name:          web1\n" in out
    assert "may run on:    n1, n2\n" in out
    assert "verification:  clean\n" in out
    assert "Primary/Secondary  UpToDate/Inconsistent  42%" in out
    assert "lan        52:54:00:00:00:01" in out
    assert out.endswith(
        "findings:\n  error: split brain.\n      Next: mcv drbd list\n  warning: blocked\n"
    )
    assert mcv("info web1 --json").json == vm


def test_drbds_columns_are_there_where_a_disk_is_replicated(mcv: Speak, daemon: FakeDaemon) -> None:
    local = {"id": 2, "target": "vdb", "size": 1024**3, "storage": "file", "path": "/srv/b.qcow2"}
    vm = {
        **a_vm(),
        "uuid": "1234",
        "disks": [{**local, "drbd": None}],
        "networks": [],
        "verify": {"result": "never", "when": "", "out_of_sync": 0, "blocked": False},
        "vnc": None,
    }
    daemon.answers["vm.info"] = vm
    *_, head, row = mcv("info web1").out.splitlines()

    assert head.split() == ["disk", "target", "size", "storage", "path"]
    assert row.split() == ["2", "vdb", "1GiB", "file", "/srv/b.qcow2"]

    replica = {**local, "id": 1, "storage": "drbd", "path": "/dev/drbd100", "drbd": DRBD}
    daemon.answers["vm.info"] = {**vm, "disks": [replica, *vm["disks"]]}
    *_, head, first, second = mcv("info web1").out.splitlines()

    assert head.split()[5:] == ["connection", "roles", "disks", "done"]
    assert first.split()[5:] == [
        "Connected",
        "Primary/Secondary",
        "UpToDate/Inconsistent",
        "42%",
    ]
    assert second.split() == ["2", "vdb", "1GiB", "file", "/srv/b.qcow2"]


@pytest.mark.parametrize(
    ("passed", "said"),
    [(5, "5 seconds"), (200, "3 minutes"), (7200, "2 hours"), (3 * 86400 + 5, "3 days")],
)
def test_an_age_is_told_in_its_largest_unit(passed: int, said: str) -> None:
    when = datetime.now(UTC) - timedelta(seconds=passed)

    assert age(when.strftime("%Y-%m-%dT%H:%M:%SZ")) == said


@pytest.mark.parametrize(
    ("verify", "said"),
    [
        ({"result": "never", "when": "", "out_of_sync": 0, "blocked": False}, "never"),
        (
            {"result": "out-of-sync", "when": "", "out_of_sync": 4096, "blocked": True},
            "out-of-sync, 4KiB out of sync, start and migration are blocked",
        ),
        (
            {
                "result": "interrupted",
                "under_way": True,
                "when": "",
                "out_of_sync": 0,
                "blocked": True,
            },
            "under way, start and migration are blocked",
        ),
    ],
)
def test_a_verification_is_told_with_what_it_blocks(verify: dict[str, Any], said: str) -> None:
    assert verification_text(verify) == said


def test_a_lock_is_told_with_its_holders() -> None:
    claim = {"why": "migrate web1 to n2", "node": "n1", "since": "2024-01-01T00:00:00Z"}
    vm = {"name": "web1", "locked": True, "claim": claim, "administrators_lock": True}

    assert locked_text({"locked": False}) is None
    assert locked_text(vm) == (
        "by migrate web1 to n2 on n1 since 2024-01-01T00:00:00Z, "
        "by an administrator (mcv unlock web1)"
    )


def test_values_stand_below_each_other_and_unknown_ones_are_left_out() -> None:
    assert fields({"a": 1, "long": "x", "none": None}) == "a:     1\nlong:  x"


def test_resources_are_listed_as_each_node_sees_them(mcv: Speak, daemon: FakeDaemon) -> None:
    side = {"role": "Primary", "disk": "UpToDate", "connection": "Connected"}
    daemon.answers["drbd.list"] = [
        {
            "vm": "web1",
            "disk": 1,
            "resource": "mcv-web1-1",
            "minor": 100,
            "port": 7900,
            "node": {"n1": side},
            "out_of_sync": 0,
            "done": None,
            "verified": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "verified_by": "alice",
            "result": "interrupted",
            "blocked": True,
        }
    ]

    out = mcv("drbd list").out

    assert "n1: Primary/UpToDate/Connected" in out
    assert "interrupted, 0 seconds ago by alice, blocked" in out


def test_a_plan_is_shown_a_line_for_each_step(mcv: Speak, daemon: FakeDaemon) -> None:
    plan = {"dry_run": True, "plan": ["n2: drbd.promote resource=web1", "document: vm.assign"]}
    daemon.job("vm.migrate", plan)

    words = "migrate --node n2 web1 --dry-run"

    assert mcv(words).out == "n2: drbd.promote resource=web1\ndocument: vm.assign\n"
    assert mcv(words, "--json").json == plan


def test_a_vm_without_replicas_is_not_said_to_be_unverified(mcv: Speak, daemon: FakeDaemon) -> None:
    disk = {"id": 1, "target": "vda", "size": 8 * 1024**3, "storage": "file", "pool": "default"}
    never = {"result": "never", "when": "", "out_of_sync": 0, "blocked": False}
    vm = {**a_vm(storage="file"), "uuid": "1234", "networks": [], "verify": never, "vnc": None}
    daemon.answers["vm.info"] = {**vm, "disks": [{**disk, "path": "/var/web1", "drbd": None}]}

    out = mcv("info web1").out

    assert "/var/web1" in out and "verification" not in out


def test_a_repair_that_leaves_something_exits_with_4(mcv: Speak, daemon: FakeDaemon) -> None:
    left = {"operation": "abc", "title": "delete web1", "trouble": "n2 does not answer."}
    daemon.job("repair", {"settled": ["create web2"], "left": [left]})

    heard = mcv("repair")

    assert (heard.code, heard.out) == (4, "Settled: create web2\n")
    assert "delete web1: n2 does not answer." in heard.err
    assert mcv("repair --json").json["left"] == [left]


def test_a_repair_that_could_not_ask_everybody_does_not_say_that_all_is_done(
    mcv: Speak, daemon: FakeDaemon
) -> None:
    silent = "What n2 holds is not known: n2 does not answer."
    daemon.job("repair", {"settled": [], "left": [], "unasked": [silent]})

    heard = mcv("repair")

    assert (heard.code, heard.out) == (0, "There is nothing to repair on the nodes that answer.\n")
    assert silent in heard.err


def test_locks_and_claims_are_listed(mcv: Speak, daemon: FakeDaemon) -> None:
    times = {"node": "n1", "why": "start web1", "since": "2024-01-01T00:00:00Z"}
    daemon.answers["locks.list"] = {
        "claims": [{**times, "subject": "web1", "operation": "abc"}],
        "locks": ["vm-web1 on n1: start web1 since 2024-01-01T00:00:00Z"],
        "held": [{**times, "name": "vm-web1", "pid": 42}],
    }

    out = mcv("locks list").out

    assert out.startswith("claim")
    assert "vm-web1" in out
    assert "42" in out
