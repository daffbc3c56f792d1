"""mcv ha as an operator reads it."""

from typing import Any

from mcv.errors import Refused
from tests.commands.conftest import FakeDaemon, Speak

WATCHDOG = {"kind": "iTCO_wdt", "timeout": 8, "grain": 1.0, "proves": True}


def node(name: str, **values: Any) -> dict[str, Any]:
    return {
        "node": name,
        "state": "online",
        "lease_left": 11.4,
        "watchdog": WATCHDOG,
        "evidence": None,
        "since": None,
        "problem": "",
        **values,
    }


HA_ROW: dict[str, Any] = {
    "name": "web1",
    "kind": "vm",
    "wanted": "started",
    "state": "failed",
    "node": "n1",
    "home": "n1",
    "domain": "front",
    "restarts": 1,
    "relocates": 0,
    "reason": "it failed on n1",
    "attention": "it has failed: mcv ha set web1 --state started",
}
HA_DOMAIN: dict[str, Any] = {
    "name": "front",
    "nodes": {"n1": 1, "n2": 2},
    "ordered": True,
    "restricted": False,
    "failback": True,
}
MANAGED: dict[str, Any] = {
    "name": "web1",
    "wanted": "started",
    "domain": "front",
    "recovery": "restart",
    "max_restarts": 1,
    "max_relocates": 1,
    "window": 3600,
    "priority": 0,
    "failback": True,
    "notes": ["The cluster is not armed."],
}
EXPLAINED: dict[str, Any] = {
    "name": "web1",
    "node": "n1",
    "reason": "it runs there",
    "candidates": [
        {"node": "n1", "ok": True, "lacks": ""},
        {"node": "n2", "ok": False, "lacks": "its replica is stale"},
    ],
}
SERVICE: dict[str, Any] = {
    "name": "www",
    "node": "n1",
    "state": "started",
    "wanted": "started",
    "home": "n1",
    "notes": [],
}
SERVICE_MADE: dict[str, Any] = {
    "name": "www",
    "node": "n1",
    "address": "192.0.2.80/24",
    "bridge": "br0",
    "units": [],
    "scripts": [],
    "domain": "",
    "notes": ["n3 is offline."],
}
HA_STATUS: dict[str, Any] = {
    "armed": True,
    "quorum": True,
    "manager": None,
    "term": None,
    "pace": 1,
    "wait": 22,
    "nodes": [
        node("n1"),
        node("n2", state="suspect", lease_left=0.0, watchdog={**WATCHDOG, "proves": False}),
        node("n3", state="offline", lease_left=None, watchdog=None, evidence="lease", since="then"),
    ],
    "services": [],
    "stale": [{"resource": "mcv-web1-1", "vm": "web1", "behind": "n2"}],
    "attention": ["n2: it has no valid lease\x1b[2J"],
}


def test_status_begins_with_a_sentence_and_ends_with_what_needs_somebody(
    mcv: Speak, daemon: FakeDaemon
) -> None:
    daemon.answers["ha.status"] = HA_STATUS

    shown = mcv("ha status").out.splitlines()

    assert shown[0] == "Armed at pace 1: a lease that does not move may be taken after 22 s."
    rows = [" ".join(line.split()) for line in shown[2:6]]
    assert rows == [
        "node state lease watchdog evidence since",
        "n1 online 11 s left iTCO_wdt, 8 s - -",
        "n2 suspect ended iTCO_wdt, 8 s, proves nothing - -",
        "n3 offline - - lease then",
    ]
    assert shown[-1] == "! n2: it has no valid lease\\x1b[2J"


def test_status_says_that_no_lease_is_renewed(mcv: Speak, daemon: FakeDaemon) -> None:
    daemon.answers["ha.status"] = {**HA_STATUS, "quorum": False}

    assert "NO QUORUM: no lease is renewed" in mcv("ha status").out.splitlines()[0]


def test_status_of_a_cluster_that_is_not_armed(mcv: Speak, daemon: FakeDaemon) -> None:
    daemon.answers["ha.status"] = {**HA_STATUS, "armed": False, "wait": None, "attention": []}

    assert mcv("ha status").out.startswith("Not armed: no host is reset")


def test_arming_says_what_it_means_for_each_host(mcv: Speak, daemon: FakeDaemon) -> None:
    answer = {"armed": True, "pace": 2, "wait": 42, "marked": ["web1"], "foreign": {"n2": ["vpn"]}}
    daemon.job("ha.arm", answer)

    shown = mcv("ha arm --pace 2").out

    assert "may run elsewhere after 42 s" in shown
    assert "The other replica of web1 is behind" in shown
    assert "n2 also runs vpn: a reset takes them along" in shown


def test_two_nodes_without_a_witness_have_no_leases(mcv: Speak, daemon: FakeDaemon) -> None:
    answer: dict[str, Any] = {"armed": True, "pace": 1, "wait": None, "marked": [], "foreign": {}}
    daemon.job("ha.arm", {**answer, "warnings": ["n1 is switched off by pdu alone."]})
    shown = mcv("ha arm").out
    assert "switched off by its fence device" in shown and "by pdu alone" in shown

    two = [node("n1", lease_left=None, watchdog=None)]
    daemon.answers["ha.status"] = {**HA_STATUS, "wait": None, "nodes": two, "quorum": False}
    first, *_ = mcv("ha status").out.splitlines()
    assert first.startswith("Armed by fence devices alone, at pace 1: no leases.")
    assert "NOT IN CONTACT" in first


def test_a_pace_that_is_no_number_is_refused_and_a_setting_without_value_is_usage(
    mcv: Speak, daemon: FakeDaemon
) -> None:
    assert mcv("ha arm --pace x").code == 3
    assert mcv("ha settings on-lost-lease").code == 2
    assert daemon.calls == []


def test_disarming_is_asked_about(mcv: Speak, daemon: FakeDaemon) -> None:
    daemon.job("ha.disarm", {"dry_run": True, "plan": ["document: ha.disarm"]})

    refused = mcv("ha disarm")

    assert refused.code == 3 and "--yes" in refused.err


SETTINGS: dict[str, Any] = {
    "on-lost-lease": "stop",
    "on-stop-failure": "attention",
    "on-fence-failure": "wait",
    "after-fence": "on",
    "on-shutdown": "freeze",
    "fence-trust": "at-once",
    "start-grace": 120,
    "notify": ["root@n1", "/usr/bin/tell"],
}


def test_settings_are_shown_and_changed(mcv: Speak, daemon: FakeDaemon) -> None:
    daemon.answers["ha.settings"] = SETTINGS
    daemon.job("ha.set", SETTINGS)

    shown = mcv("ha settings")
    changed = mcv("ha settings on-shutdown=migrate on-lost-lease=stop")

    assert "notify:            root@n1, /usr/bin/tell" in shown.out
    assert changed.out == shown.out
    mcv("ha settings on-shutdown=freeze notify=ops@example.org")
    assert mcv("ha settings --json").json == SETTINGS
    assert daemon.asked("ha.set") == [
        {"values": {"on-shutdown": "migrate", "on-lost-lease": "stop"}},
        {"values": {"on-shutdown": "freeze", "notify": "ops@example.org"}},
    ]


def test_arming_is_refused_with_everything_at_once(mcv: Speak, daemon: FakeDaemon) -> None:
    problems = [("n1 has no watchdog.", "wdctl"), ("n2 is offline.", "mcv node online n2")]
    daemon.job("ha.arm", Refused("Not armed.", "", problems))

    heard = mcv("ha arm --dry-run")

    assert heard.code == 3
    assert all(text in heard.err for problem in problems for text in problem)


def test_json_is_what_the_daemon_said(mcv: Speak, daemon: FakeDaemon) -> None:
    daemon.answers["ha.status"] = HA_STATUS
    store = {
        "store": "etcd",
        "quorum": True,
        "voters": [{"name": "n1", "state": "leader", "fsync_ms": 1.0}],
    }
    daemon.answers["cluster.store"] = store
    daemon.job("ha.disarm", {"armed": False, "nodes": ["n1"]})

    assert mcv("ha status --json").json == HA_STATUS
    assert mcv("cluster store --json").json == store
    assert mcv("ha disarm --yes --json").json == {"armed": False, "nodes": ["n1"]}


def test_what_is_managed_is_listed_with_what_needs_somebody(mcv: Speak, daemon: FakeDaemon) -> None:
    daemon.answers["ha.list"] = [HA_ROW]

    heard = mcv("ha list")

    assert "web1" in heard.out and "front" in heard.out
    assert heard.out.endswith("! web1: it has failed: mcv ha set web1 --state started\n")


def test_a_reason_that_needs_somebody_stands_below_the_table_alone(
    mcv: Speak, daemon: FakeDaemon
) -> None:
    why = "no node can run it: n2: its replica of disk 1 is Outdated"
    daemon.answers["ha.list"] = [
        {**HA_ROW, "reason": why, "attention": why},
        {**HA_ROW, "name": "web2", "reason": "it runs on n1", "attention": "it has two cards"},
    ]

    out = mcv("ha list").out

    assert out.count(why) == 1 and f"! web1: {why}" in out and "see below" in out
    assert "it runs on n1" in out and "! web2: it has two cards" in out


def test_what_is_managed_now_is_said_with_its_limits(mcv: Speak, daemon: FakeDaemon) -> None:
    daemon.job("ha.add", MANAGED)

    assert mcv("ha add web1").out == (
        "web1 is managed, and wanted started in front: restart, 1 restart, 1 relocation in "
        "3600 s.\nThe cluster is not armed.\n"
    )


def test_nodes_of_a_domain_are_told_the_best_first(mcv: Speak, daemon: FakeDaemon) -> None:
    daemon.job("ha.domain_create", HA_DOMAIN)
    daemon.answers["ha.domains"] = [HA_DOMAIN]

    said = mcv("ha domain create front --node n2:2 --node n1").out
    assert said == "Failover domain front: n1:1, n2:2.\n"
    assert "n1:1, n2:2  yes" in mcv("ha domain list").out


def test_a_priority_that_is_no_number_is_refused(mcv: Speak, daemon: FakeDaemon) -> None:
    heard = mcv("ha domain create front --node n1:best")

    assert heard.code == 3 and "'best' is no whole number" in heard.err


def test_a_new_service_is_told_with_what_could_not_be_looked_at(
    mcv: Speak, daemon: FakeDaemon
) -> None:
    daemon.job("service.create", SERVICE_MADE)

    heard = mcv("ha service create www --address 192.0.2.80/24 --bridge br0")

    assert heard.out == (
        "Service www with 192.0.2.80/24 on br0 belongs to n1. Start it: "
        "mcv ha service start www\nn3 is offline.\n"
    )


def test_a_stop_that_the_document_was_not_told_says_so(mcv: Speak, daemon: FakeDaemon) -> None:
    daemon.job("service.stop", {**SERVICE, "notes": ["The document cannot be told now."]})

    said = mcv("ha service stop www").out
    assert said == "www is stopped.\nThe document cannot be told now.\n"


def test_a_service_is_moved_to_one_node(mcv: Speak, daemon: FakeDaemon) -> None:
    daemon.job("service.migrate", {**SERVICE, "node": "n2"})

    said = mcv("ha service migrate www --node n2").out
    assert said == "www belongs to n2 now and runs there.\n"
    assert mcv("ha service migrate www").code == mcv("ha service migrate www a --node b").code == 2


def test_an_explanation_says_what_each_node_lacks(mcv: Speak, daemon: FakeDaemon) -> None:
    daemon.answers["ha.explain"] = EXPLAINED

    out = mcv("ha explain web1").out

    assert out.startswith("web1 belongs to n1: it runs there\n")
    assert "n2      no            its replica is stale" in out


def test_what_would_be_is_told_and_something_without_a_place_is_exit_5(
    mcv: Speak, daemon: FakeDaemon
) -> None:
    well = {"name": "web1", "from": "n1", "to": "n2", "why": "n1 is offline: n2 takes it over"}
    lost = {"name": "db1", "from": "n1", "to": "", "why": "No node can run it: n2: memory"}
    daemon.answers["ha.what_if"] = [well]
    assert mcv("ha what-if --dead n1").code == 0
    daemon.answers["ha.what_if"] = [well, lost]

    heard = mcv("ha what-if --dead n1")

    assert heard.code == 5 and "nowhere" in heard.out
    assert mcv("ha what-if --dead n1 --json").json == [well, lost]
