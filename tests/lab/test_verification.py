"""Verifications of real replicas that are cut short, and replicas that lose their disk."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.lab import Node, reality, wait_until
from tests.lab.cluster import bring_back, create, mcv, told

RESOURCE = "mcv-web1-1"
LV = f"/dev/vg0/{RESOURCE}"
MIB = 1 << 20
SIZE = 16  # MiB
SLOW = "drbd set verify-rate=256KiB"


def connection(node: Node) -> str:
    view = reality.drbd(node, RESOURCE)
    return "absent" if view is None else view.replication


def is_well(node: Node) -> bool:
    return reality.is_in_step(node, RESOURCE)


def done(node: Node) -> float:
    return float(told(node, "drbd list")[0]["done"] or 0)


def verify_until(node: Node, percent: float) -> str:
    """Begin a verification that lasts, and let it compare a part; the job's id."""
    mcv(node, SLOW)
    node.run("systemd-run --quiet mcv verify web1")
    wait_until(lambda: done(node) >= percent, 60, f"{percent} percent to be compared")
    jobs = [one for one in told(node, "job list") if one["state"] == "running"]
    assert [one["title"] for one in jobs] == ["drbd verify web1"]
    return str(jobs[0]["id"])


def last(node: Node) -> tuple[str, bool]:
    """What the last verification came to, as everybody sees it, and whether it blocks."""
    row, info = told(node, "drbd list")[0], told(node, "info web1")["verify"]
    assert info["result"] == row["result"]
    return row["result"], info["blocked"]


@pytest.fixture
def web1(pair: list[Node]) -> Iterator[list[Node]]:
    """The cluster with the VM web1, stopped."""
    node1, node2 = pair
    create(node1, "web1", disk=f"{SIZE}MiB")
    yield pair
    bring_back(pair)
    wait_until(lambda: is_well(node1) and is_well(node2), 60, "both replicas to be in step")
    mcv(node1, "drbd set verify-rate=200MiB resync-rate=200MiB")
    node1.run("mcv stop web1", check=False)
    mcv(node1, "delete web1 --yes")


@pytest.mark.soak
def test_one_that_was_ended_early_frees_nothing_and_the_next_compares_all(web1: list[Node]) -> None:
    node1, node2 = web1
    reality.write_byte(node2, LV, 15 * MIB, "X")
    mcv(node1, "verify web1", code=5)
    mcv(node1, "resync web1 --yes")

    job = verify_until(node1, 10)
    # Where it has been already.
    reality.write_byte(node2, LV, MIB // 2, "X")
    interrupt = f"timeout --foreground --signal=INT 3 mcv job wait {job}"
    assert "goes on" in node1.run(interrupt, check=False).stderr
    mcv(node2, f"job cancel {job}")
    said = mcv(node1, f"job wait {job} --json").stdout

    assert json.loads(said)[0]["result"] == "interrupted"
    assert connection(node1) == "Established" and is_well(node2)
    assert last(node1) == last(node2) == ("interrupted", True)
    assert "mcv verify web1" in mcv(node1, "start web1", code=3).stderr
    mcv(node1, "drbd set verify-rate=200MiB")
    assert told_by_verify(node1)["out_of_sync"] == 4096
    mcv(node2, "resync web1 --source node1 --yes")
    mcv(node1, "verify web1")
    assert last(node2) == ("clean", False)
    assert reality.byte(node2, LV, MIB // 2) == 0


def told_by_verify(node: Node) -> dict[str, int]:
    rows = json.loads(mcv(node, "verify web1 --json", code=5).stdout)
    return dict(rows[0])


def test_a_daemon_that_dies_leaves_an_interrupted_one(web1: list[Node]) -> None:
    node1, node2 = web1
    verify_until(node1, 5)

    node1.run("systemctl kill --signal=KILL mcvd; systemctl stop mcvd")

    assert connection(node1) == "VerifyS"
    assert last(node2) == ("interrupted", False)
    node1.run("systemctl reset-failed mcvd; systemctl start mcvd")
    wait_until(lambda: connection(node1) == "Established", 40, "the kernel to stop")
    wait_until(lambda: _recorded(node2) == "interrupted", 40, "the document to say so")
    jobs = [one for one in told(node1, "job list") if one["title"] == "drbd verify web1"]
    assert jobs[-1]["state"] == "interrupted"


def _recorded(node: Node) -> str:
    disks = reality.document(node)["vms"]["web1"]["disks"]
    return str(disks[0]["verification"]["result"])


@pytest.mark.soak
@pytest.mark.parametrize("death", ["link", "node"])
def test_a_lost_peer_leaves_an_interrupted_one(web1: list[Node], death: str) -> None:
    node1, node2 = web1
    mcv(node1, SLOW)
    verifying = node1.start("mcv verify web1 --json")
    wait_until(lambda: done(node1) >= 5, 60, "a part to be compared")

    if death == "link":
        node2.cut()
    else:
        node2.kill()

    said, _ = verifying.communicate(timeout=90)
    assert verifying.returncode == 5
    assert [row["result"] for row in json.loads(said)] == ["interrupted"]
    assert last(node1)[0] == "interrupted"
    node2.heal()
    if death == "node":
        node2.boot()
    wait_until(lambda: is_well(node1) and is_well(node2), 60, "both replicas to be in step")
    wait_until(lambda: _recorded(node2) == "interrupted", 60, "the document to say so")


# Disks that fail


@contextmanager
def failing(node: Node) -> Iterator[None]:
    """Every access to the volume below the replica is an I/O error."""
    name = "vg0-mcv--web1--1"
    table = node.run(f"dmsetup table {name}").stdout.strip()
    sectors = table.split()[1]

    def load(line: str) -> None:
        swap = f"dmsetup suspend --nolockfs {name}; dmsetup reload {name}; dmsetup resume {name}"
        node.run(swap, stdin=f"{line}\n")

    load(f"0 {sectors} error")
    try:
        yield
    finally:
        if node.is_running:
            load(table)


def write(node: Node, place: int) -> None:
    device = reality.device(node, RESOURCE)
    node.run(
        f"dd if=/dev/urandom of={device} bs=4096 seek={place} count=1 oflag=direct status=none"
    )


def disks(node: Node) -> tuple[str, str]:
    view = reality.drbd(node, RESOURCE)
    return (view.disk, view.peer_disk) if view else ("absent", "absent")


@pytest.mark.parametrize("which", [pytest.param(0, marks=pytest.mark.soak), 1])
def test_a_vm_goes_on_without_a_failing_disk_and_a_resync_takes_it_back(
    web1: list[Node], which: int
) -> None:
    node1, node2 = web1
    broken, other = web1[which], web1[1 - which]
    helps = f"mcv resync web1 --source {other.name}"
    mcv(node1, "start web1")

    with failing(broken):
        write(node1, 100)
        wait_until(lambda: disks(node1)[which] == "Diskless", 30, "the detaching")
        write(node1, 200)
        assert reality.domain(node1, "web1") == "running"
        assert helps in told(node2, "list")[0]["attention"]
        assert helps in told(node1, "info web1")["attention"]
        found = json.loads(mcv(node1, "cluster check --json", code=5).stdout)["findings"]
        assert [helps in one["hint"] for one in found if one["severity"] == "error"] == [True]
        assert told(node2, "drbd list")[0]["node"][broken.name]["disk"] == "Diskless"
        mcv(node1, f"resync web1 --source {other.name} --yes", code=1)

    said = mcv(node2, f"resync web1 --source {other.name} --yes").stdout
    assert f"came from {other.name}" in said and "MiB" not in said
    assert is_well(node1) and told(node1, "list")[0]["attention"] is None
    mcv(node1, "verify web1")
    assert reality.digest(node1, LV, SIZE) == reality.digest(node2, LV, SIZE)


@pytest.mark.soak
def test_a_vm_moves_away_from_a_disk_that_is_gone(web1: list[Node]) -> None:
    node1, node2 = web1
    mcv(node1, "start web1")
    with failing(node1):
        write(node1, 100)
        wait_until(lambda: disks(node1)[0] == "Diskless", 30, "the detaching")
        mcv(node1, "stop web1")

        assert "mcv migrate --node node2 web1" in mcv(node1, "start web1", code=3).stderr
        mcv(node1, "migrate --node node2 --start-after-migration web1")

        assert reality.domain(node2, "web1") == "running"
        write(node2, 200)
    # The disk is replaced: all of it comes, while the VM runs.
    node1.run(f"blkdiscard --zeroout {LV}")
    mcv(node1, "resync web1 --source node2 --yes")
    mcv(node2, "verify web1")
    assert reality.digest(node1, LV, SIZE) == reality.digest(node2, LV, SIZE)
    mcv(node2, "stop web1")
    mcv(node2, "migrate --node node1 web1")


# What cron does


@pytest.mark.soak
def test_cron_mails_what_failed_and_what_helps(web1: list[Node]) -> None:
    node1, node2 = web1
    create(node1, "web2")
    create(node2, "web3")
    reality.write_byte(node2, LV, MIB, "X")
    node1.put("#!/bin/sh\ncat > /root/mail\n", "/usr/sbin/sendmail")
    # The very job, at every minute, without its sleep and as where systemd does not run.
    every = (
        "sed -e 's/^0 3 . . 0 /* * * * * /' -e 's/test -d .*m\"; //' /etc/cron.d/mcv "
        "> /etc/cron.d/mcv-now; chmod 755 /usr/sbin/sendmail"
    )
    node1.run(every)
    try:
        wait_until(lambda: node1.run("cat /root/mail", check=False).stdout, 180, "the mail")
    finally:
        node1.run("rm /etc/cron.d/mcv-now /usr/sbin/sendmail")
    time.sleep(1)
    mail = node1.run("cat /root/mail; rm /root/mail").stdout

    assert "To: root" in mail
    body = mail.partition("\n\n")[2]
    assert body == "Error: web1 disk 1: 4KiB out of sync.\nmcv resync web1\n"
    mcv(node1, "resync web1 --yes")
    mcv(node1, "delete web2 web3 --yes")
