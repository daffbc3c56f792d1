"""The JSON keys that scripts rely on: every one that the program answers today, in a table.

More keys are welcome; these stay, and so do their types.
"""

import json
from types import NoneType
from typing import Any

import pytest

from mcv.check import runner
from mcv.cluster import etcd_store, ha_domains, ha_entries, ha_list, ha_settings, ha_status
from mcv.host import Host
from mcv.network import verbs as network
from mcv.recovery import claims
from mcv.recovery import jobs as recovered_jobs
from mcv.status import cluster as status_cluster
from mcv.status import events, history, resources, top, vms
from mcv.system.answers import plain
from mcv.vm import disks, nics, power
from tests.fakes.armed import armed as armed
from tests.fakes.armed import orders
from tests.fakes.cluster import FakeCluster
from tests.fakes.fixtures import three as three
from tests.fakes.fixtures import units as units

TEXT, NUMBER, BOOL = (str,), (int, float), (bool,)
MAYBE_TEXT = (str, NoneType)
FINDING = {"severity": TEXT, "message": TEXT, "hint": TEXT}
SUMMARY: dict[str, Any] = {
    "name": TEXT,
    "state": TEXT,
    "node": TEXT,
    "nodes": [TEXT],
    "memory": NUMBER,
    "cpus": NUMBER,
    "storage": TEXT,
    "locked": BOOL,
    "autostart": TEXT,
    "attention": MAYBE_TEXT,
    "findings": [FINDING],
    "tags": [TEXT],
}
DRBD = {
    "resource": TEXT,
    "minor": NUMBER,
    "port": NUMBER,
    "connection": TEXT,
    "role": TEXT,
    "peer_role": TEXT,
    "disk": TEXT,
    "peer_disk": TEXT,
    "done": (int, float, NoneType),
}
DISK = {
    "id": NUMBER,
    "target": TEXT,
    "size": NUMBER,
    "storage": TEXT,
    "pool": MAYBE_TEXT,
    "path": TEXT,
    "drbd": DRBD,
}
VERIFY = {
    "result": TEXT,
    "when": TEXT,
    "who": TEXT,
    "out_of_sync": NUMBER,
    "blocked": BOOL,
    "under_way": BOOL,
}
NODE = {
    "name": TEXT,
    "ip_address": TEXT,
    "drbd_address": TEXT,
    "status": TEXT,
    "problem": MAYBE_TEXT,
    "local": BOOL,
    "version": MAYBE_TEXT,
    "memory": {"total": NUMBER, "free": NUMBER, "spoken_for": NUMBER},
    "room": {"default": {"total": NUMBER, "free": NUMBER, "spoken_for": NUMBER}},
}
SIDE = {"role": TEXT, "disk": TEXT, "connection": TEXT}
JOB = {
    "id": TEXT,
    "title": TEXT,
    "who": TEXT,
    "node": TEXT,
    "began": TEXT,
    "ended": TEXT,
    "state": TEXT,
    "cancellable": BOOL,
    "progress": [],
    "error": (dict, NoneType),
}
LOAD = {
    "vm": TEXT,
    "node": TEXT,
    "cpu": NUMBER,
    "memory": NUMBER,
    "read": NUMBER,
    "written": NUMBER,
}
TOP = {"nodes": [{"node": TEXT, "cpu": NUMBER, "memory": NUMBER}], "vms": [LOAD]}
MAYBE_NUMBER = (int, float, NoneType)
HA_NODE = {
    "node": TEXT,
    "state": TEXT,
    "lease_left": MAYBE_NUMBER,
    "watchdog": (dict, NoneType),
    "evidence": MAYBE_TEXT,
    "since": MAYBE_TEXT,
}
HA_STATUS = {
    "armed": BOOL,
    "quorum": BOOL,
    "manager": MAYBE_TEXT,
    "term": MAYBE_NUMBER,
    "pace": NUMBER,
    "nodes": [HA_NODE],
    "services": [],
}
HA_SETTINGS = {
    **dict.fromkeys(("on-lost-lease", "on-stop-failure", "on-fence-failure"), TEXT),
    **dict.fromkeys(("after-fence", "on-shutdown", "fence-trust"), TEXT),
    "start-grace": NUMBER,
    "notify": [TEXT],
}
EVENT = ("when", "node", "who", "what", "subject", "outcome")
CLAIM = {"operation": TEXT, "node": TEXT, "why": TEXT, "since": TEXT}

# command, what answers it, what must be in its answer
HA_ROW = {
    "name": TEXT,
    "kind": TEXT,
    "wanted": TEXT,
    "state": TEXT,
    "node": TEXT,
    "home": TEXT,
    "domain": TEXT,
    "restarts": MAYBE_NUMBER,
    "relocates": MAYBE_NUMBER,
    "reason": TEXT,
    "attention": MAYBE_TEXT,
}


HA_DOMAIN = {
    "name": TEXT,
    "nodes": {"n1": NUMBER},
    "ordered": BOOL,
    "restricted": BOOL,
    "failback": BOOL,
}


def listed(host: Host) -> list[ha_list.HaRow]:
    ha_entries.add(host, "web1")
    return ha_list.list_(host)


def domains(host: Host) -> list[ha_domains.DomainRow]:
    ha_domains.create_domain(host, "front", {"n1": 1})
    return ha_domains.list_domains(host)


CONTRACT: list[tuple[str, Any, Any]] = [
    ("list", vms.list_, [SUMMARY]),
    (
        "info VM",
        lambda host: vms.info(host, "web1"),
        {
            **SUMMARY,
            "uuid": TEXT,
            "disks": [DISK],
            "networks": [{"network": TEXT, "mac": TEXT, "addresses": [TEXT]}],
            "pending": [TEXT],
            "verify": VERIFY,
            "vnc": MAYBE_TEXT,
        },
    ),
    (
        "info",
        status_cluster.info,
        {
            "cluster": MAYBE_TEXT,
            "epoch": NUMBER,
            "generation": NUMBER,
            "hash": TEXT,
            "node": TEXT,
            "nodes": [NODE],
            "witness": (dict, NoneType),
            "vms": NUMBER,
            "verify": {"clean": NUMBER, "oldest": MAYBE_TEXT, "others": {"web1": TEXT}},
            "attention": [TEXT],
        },
    ),
    (
        "cluster check",
        runner.check,
        {"ok": BOOL, "findings": [{**FINDING, "node": TEXT, "subject": TEXT}]},
    ),
    (
        "drbd list",
        resources.list_,
        [
            {
                "vm": TEXT,
                "disk": NUMBER,
                "resource": TEXT,
                "minor": NUMBER,
                "port": NUMBER,
                "node": {"n1": SIDE, "n2": SIDE},
                "out_of_sync": NUMBER,
                "done": (int, float, NoneType),
            }
        ],
    ),
    ("job list", recovered_jobs.list_jobs, [JOB]),
    ("locks list", claims.list_locks, {"claims": [CLAIM], "locks": []}),
    ("network list", network.list_, [{"name": TEXT, "bridge": TEXT, "vms": NUMBER}]),
    (
        "nic list",
        lambda host: nics.list_(host, "web1"),
        [
            {
                "network": TEXT,
                "mac": TEXT,
                "model": TEXT,
                "vlan": NUMBER,
                "link": TEXT,
                "addresses": [TEXT],
            }
        ],
    ),
    (
        "disk list",
        lambda host: disks.list_(host, "web1"),
        [
            {
                "id": NUMBER,
                "target": TEXT,
                "size": NUMBER,
                "storage": TEXT,
                "pool": MAYBE_TEXT,
                "bus": TEXT,
                "role": TEXT,
                "places": {"n1": TEXT, "n2": TEXT},
                "leaving": BOOL,
            }
        ],
    ),
    ("top", top.show, TOP),
    ("cluster store", etcd_store.show, {"store": TEXT, "quorum": BOOL, "voters": []}),
    ("ha status", ha_status.status, HA_STATUS),
    ("ha settings", ha_settings.show, HA_SETTINGS),
    ("ha list", listed, [HA_ROW]),
    ("ha domain list", domains, [HA_DOMAIN]),
    ("events", lambda host: events.show(host).events, [dict.fromkeys(EVENT, TEXT)]),
    (
        "config history",
        history.history,
        [
            {
                "epoch": NUMBER,
                "generation": NUMBER,
                "hash": TEXT,
                "who": TEXT,
                "when": TEXT,
                "why": TEXT,
            }
        ],
    ),
]


def require(said: Any, wanted: Any, where: str) -> None:
    """Fail where a key is missing or has another type; a list is looked at row by row."""
    if isinstance(wanted, tuple):
        assert isinstance(said, wanted), f"{where} is {said!r}"
    elif isinstance(wanted, list):
        assert isinstance(said, list), where
        for row in said:
            for shape in wanted:
                require(row, shape, f"{where}[]")
    else:
        for key, shape in wanted.items():
            assert key in said, f"{where}.{key} is missing"
            require(said[key], shape, f"{where}.{key}")


@pytest.mark.parametrize(
    ("ask", "wanted"), [row[1:] for row in CONTRACT], ids=[row[0] for row in CONTRACT]
)
def test_a_command_answers_the_keys_that_scripts_rely_on(
    vm: FakeCluster, ask: Any, wanted: Any
) -> None:
    vm.hosts["n1"].update_beside("vm.claim", "", name="web1", why="move")
    vm.hosts["n1"].jobs.begin("move web1", "ada")
    vm.hosts["n1"].jobs.events.record("ada", "start", "web1")

    said = json.loads(json.dumps(plain(ask(vm.hosts["n1"]))))

    assert said, "an empty answer proves nothing"
    require(said, wanted, "answer")


def test_the_load_of_a_vm_that_runs_has_its_keys(vm: FakeCluster) -> None:
    vm.run("n1", power.start, name="web1")

    said = json.loads(json.dumps(plain(top.show(vm.hosts["n2"]))))

    assert said["vms"], "an empty answer proves nothing"
    require(said, TOP, "answer")


def test_every_row_of_the_contract_is_looked_at(vm: FakeCluster) -> None:
    """With the VM as it is, no list of the table is empty but attention, progress and locks."""
    host = vm.hosts["n1"]

    info = plain(vms.info(host, "web1"))

    assert info["findings"] and info["disks"] and info["networks"] and info["nodes"]
    assert runner.check(host).findings
    assert status_cluster.info(vm.hosts["n2"]).nodes


def test_behind_etcd_and_armed_the_words_of_high_availability_have_their_keys(
    armed: FakeCluster,
) -> None:
    lease = armed.hosts["n1"].lease
    lease.arm(orders(armed, "n1"))

    shown = json.loads(json.dumps(plain(ha_status.status(armed.hosts["n1"]))))
    store = json.loads(json.dumps(plain(etcd_store.show(armed.hosts["n1"]))))

    require(shown, HA_STATUS, "ha status")
    assert shown["armed"] is True and shown["nodes"][0]["lease_left"] > 0
    require(shown["nodes"][0]["watchdog"], {"kind": TEXT, "timeout": NUMBER}, "watchdog")
    voter = {"name": TEXT, "state": TEXT, "fsync_ms": MAYBE_NUMBER}
    assert store["voters"]
    require(store, {"store": TEXT, "quorum": BOOL, "voters": [voter]}, "cluster store")
