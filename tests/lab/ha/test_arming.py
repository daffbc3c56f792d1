"""mcv ha arm, status, disarm on real nodes: softdog, leases, DRBD's settings, a reboot, a pace."""

import json
from typing import Any

import pytest

from tests.lab import Node, wait_until
from tests.lab.cluster import in_contact, mcv, told
from tests.lab.ha.trio import RESOURCE, VM, Trio, all_hold

pytestmark = pytest.mark.row


def status(node: Node) -> Any:
    return told(node, "ha status")


def ping_int(node: Node) -> str:
    shown = node.run(f"drbdsetup show --show-defaults {RESOURCE}").stdout
    return next(line.split()[1].rstrip(";") for line in shown.splitlines() if "ping-int" in line)


def test_a_cluster_is_armed_given_another_pace_and_disarmed_without_a_reset(trio: Trio) -> None:
    one, two, three = trio.nodes
    refused = mcv(one, "ha arm", code=3).stderr
    assert "mcv cluster store etcd" in refused and "--trust-softdog" in refused
    trio.store_in_etcd()
    mcv(one, f"create {VM} --memory 64MiB --disk 64MiB --node node1 --nodes node1,node2")

    plan = mcv(two, "ha arm --trust-softdog --dry-run").stdout
    assert "document: ha.arm" in plan and "Software Watchdog" in plan
    assert not any((node.run("ls /run/mcv/armed", check=False).code == 0) for node in trio.nodes)
    armed = json.loads(mcv(two, "ha arm --trust-softdog --pace 3 --json").stdout)
    assert (armed["armed"], armed["pace"], armed["wait"]) == (True, 3, 63)

    shown = status(three)
    assert (shown["armed"], shown["quorum"], shown["pace"]) == (True, True, 3)
    for row in shown["nodes"]:
        assert row["state"] == "online" and 0 < row["lease_left"] <= 36
        assert row["watchdog"]["kind"] == "Software Watchdog" and row["watchdog"]["timeout"] == 24
    assert shown["attention"] == [] and shown["stale"] == []
    assert ping_int(one) == ping_int(two) == "3"
    assert told(one, "info")["attention"] == []
    check = json.loads(one.run("mcv cluster check --json", check=False).stdout)
    subjects = {each["subject"] for each in check["findings"] if each["severity"] != "note"}
    assert subjects.isdisjoint({"mcv-lease", "watchdog", RESOURCE}), check["findings"]

    mcv(one, "ha arm --pace 4")
    wait_until(lambda: all(row["lease_left"] > 37 for row in status(one)["nodes"]), 60, "pace 4")
    mcv(one, "ha arm --pace 3")
    wait_until(lambda: all(row["lease_left"] <= 36 for row in status(one)["nodes"]), 60, "pace 3")

    three.run("reboot", check=False)
    wait_until(lambda: not three.is_running, 120, "node3 to go down")
    three.boot()
    wait_until(lambda: in_contact(trio.nodes), 90, "node3 to be back")
    wait_until(lambda: all_hold(trio.nodes), 60, "node3 to have its lease")

    mcv(two, "ha disarm --yes")
    shown = status(one)
    assert not shown["armed"] and shown["attention"] == []
    for node in trio.nodes:
        assert node.run("ls /run/mcv/lease /run/mcv/armed", check=False).code != 0
        assert node.run("systemctl is-active mcv-lease", check=False).stdout.strip() == "inactive"
    wait_until(lambda: ping_int(one) == ping_int(two) == "10", 30, "DRBD's settings to be back")
    one.run("sleep 30")  # longer than a watchdog that was left counting
    assert all(node.is_running for node in trio.nodes)
    mcv(one, f"delete {VM} --yes")
