"""mcv ha as an operator reads it."""

from typing import Any

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
