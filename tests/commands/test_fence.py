"""mcv fence as an operator types and reads it."""

import json
from pathlib import Path
from typing import Any

import pytest

from mcv.errors import Refused
from tests.commands.conftest import FakeDaemon, Speak

SECRET = "correct-horse"
DEVICE: dict[str, Any] = {
    "name": "bmc2",
    "agent": "fence_ipmilan",
    "parameters": {"ip": "192.0.2.2", "username": "root"},
    "nodes": [],
    "ok": True,
    "secrets": ["password"],
    "unreached": {},
}


DRILL: dict[str, Any] = {
    "node": "n3",
    "ok": True,
    "parts": [{"part": "off, and seen off", "seconds": 1.25}],
    "services": [{"name": "web1", "node": "n1", "seconds": 9.0}],
}


def row(**values: Any) -> dict[str, Any]:
    return {
        "node": "n2",
        "level": 1,
        "device": "pdu1",
        "port": "7",
        "state": "on",
        "tested": "2026-03-01T12:00:00Z",
        "ok": True,
        "message": "",
        **values,
    }


@pytest.fixture
def password(tmp_path: Path) -> Path:
    path = tmp_path / "bmc2.pw"
    path.write_text(f"{SECRET}\n")
    return path


def test_a_device_is_added_with_its_password_from_a_file(
    mcv: Speak, daemon: FakeDaemon, password: Path
) -> None:
    daemon.job("fence.add_device", DEVICE)

    shown = mcv(
        "fence device add bmc2 --agent fence_ipmilan ip=192.0.2.2 username=root lanplus=1 "
        f"--secret-file {password}"
    )

    [(operation, params)] = daemon.calls
    assert operation == "fence.add_device"
    assert params == {
        "name": "bmc2",
        "agent": "fence_ipmilan",
        "parameters": {"ip": "192.0.2.2", "username": "root", "lanplus": "1"},
        "secrets": {"password": SECRET},
        "dry_run": False,
    }
    assert "bmc2 is added" in shown.out and "mcv fence set NODE --level 1 bmc2" in shown.out
    assert SECRET not in shown.out + shown.err


def test_secrets_have_names_and_a_key_is_a_whole_file(
    mcv: Speak, daemon: FakeDaemon, password: Path, tmp_path: Path
) -> None:
    daemon.job("fence.set_device", DEVICE)
    (tmp_path / "key").write_text("KEY\nLINES\n")

    mcv(
        f"fence device set bmc2 --secret-file community={password} "
        f"--secret-file identity_file={tmp_path}/key"
    )

    assert daemon.calls[0][1]["secrets"] == {"community": SECRET, "identity_file": "KEY\nLINES\n"}


def test_every_secret_file_that_cannot_be_read_is_told_and_nothing_is_asked_for(
    mcv: Speak, daemon: FakeDaemon, password: Path
) -> None:
    shown = mcv(
        "fence device add b --agent fence_x --secret-file /nowhere --secret-file a=/nowhere2 "
        f"--secret-file {password}"
    )

    assert shown.code == 3
    assert "/nowhere " in shown.err and "/nowhere2" in shown.err and "given twice" in shown.err
    assert daemon.calls == []


@pytest.mark.parametrize(
    "line",
    [
        "fence device add b --agent fence_x ip",
        "fence device add b",
        "fence device set b",
        "fence set n2 pdu1:7",
        "fence set n2 --level 1",
        "fence test n2 --level 1",
        "fence off",
    ],
)
def test_words_that_are_missing_are_an_error_of_usage(
    mcv: Speak, daemon: FakeDaemon, line: str
) -> None:
    assert mcv(line).code == 2
    assert daemon.calls == []


def test_devices_are_listed_without_secrets_and_with_what_is_wrong(
    mcv: Speak, daemon: FakeDaemon
) -> None:
    ill = {
        **DEVICE,
        "name": "pdu1",
        "ok": False,
        "nodes": ["n2"],
        "unreached": {"n1": "no \x1b[2J"},
    }
    daemon.answers["fence.devices"] = [DEVICE, ill, {**DEVICE, "name": "x", "ok": None}]

    shown = mcv("fence device list").out

    assert shown.splitlines()[0].split() == ["device", "agent", "parameters", "nodes", "answers"]
    assert "not known yet" in shown and "! pdu1: n1 cannot ask it: no \\x1b[2J" in shown
    assert json.loads(mcv("fence device list --json").out)[1]["nodes"] == ["n2"]


def test_plugs_are_a_device_and_a_port(mcv: Speak, daemon: FakeDaemon) -> None:
    daemon.job("fence.set", [row(tested="", message="x")])

    shown = mcv("fence set n2 --level 2 pdu1:7 pdu2:a:b bmc2")

    assert daemon.calls[0][1] == {
        "node": "n2",
        "level": 2,
        "plugs": [["pdu1", "7"], ["pdu2", "a:b"], ["bmc2", ""]],
    }
    assert shown.out.splitlines()[0].split() == [
        *("node", "level", "plug", "state", "tested", "message")
    ]
    assert "pdu1:7" in shown.out and "never" in shown.out
    assert mcv("fence set n2 --level x pdu1:7").code == 3


def test_a_plug_that_is_not_well_exits_with_5(mcv: Speak, daemon: FakeDaemon) -> None:
    daemon.job("fence.test", [row(), row(level=2, ok=False, state="unknown", message="silent")])

    shown = mcv("fence test n2 --json")

    assert shown.code == 5
    assert [each["ok"] for each in json.loads(shown.out)] == [True, False]
    daemon.job("fence.test", [row()])
    assert mcv("fence test n2").code == 0


def test_a_test_that_switches_off_is_asked_about_after_its_checks(
    mcv: Speak, daemon: FakeDaemon
) -> None:
    daemon.job("fence.trial", [row()])
    assert mcv("fence test n2 --off").code == 3
    assert [params.get("dry_run") for _, params in daemon.calls] == [True]

    assert mcv("fence test n2 --off --level 1 --yes").code == 0
    assert daemon.calls[-1] == ("fence.trial", {"node": "n2", "level": 1, "dry_run": False})

    daemon.answers["fence.trial"] = Refused("n2 runs web1.", "mcv evacuate n2")
    assert "n2 runs web1." in mcv("fence test n2 --off").err


def test_off_is_asked_about_and_on_is_not(mcv: Speak, daemon: FakeDaemon) -> None:
    daemon.job("fence.off", [row(state="off")])
    daemon.job("fence.on", [row()])

    assert mcv("fence off n2").code == 3
    assert mcv("fence off n2 --yes").out.splitlines()[-1] == "n2 is off."
    assert mcv("fence on n2").out.splitlines()[-1] == "n2 is on."
    daemon.job("fence.off", {"dry_run": True, "plan": ["level 1: pdu1:7 is on"]})
    assert mcv("fence off n2 --dry-run").out == "level 1: pdu1:7 is on\n"


def test_the_status_is_of_a_node_or_of_all(mcv: Speak, daemon: FakeDaemon) -> None:
    daemon.job("fence.status", [row(message="a\x1b[2Jb", ok=False)])

    assert "! a\\x1b[2Jb" in mcv("fence status n2").out
    mcv("fence status")
    assert [params["node"] for _, params in daemon.calls] == ["n2", ""]
    daemon.job("fence.status", [])
    assert "n2 has no fence device" in mcv("fence status n2").out
    assert mcv("fence status n2 --json").out.strip() == "[]"


def test_confirm_is_the_word_about_the_dead(mcv: Speak, daemon: FakeDaemon) -> None:
    daemon.answers["node.last_seen"] = ["n2 was last heard 3 minutes ago."]
    daemon.job("node.offline", {"offline": ["n2"]})

    assert mcv("fence confirm n2").code == 3
    shown = mcv("fence confirm n2 --yes --json")

    assert daemon.calls[-1] == ("node.offline", {"names": ["n2"], "confirm_dead": True})
    assert json.loads(shown.out)[0]["node"] == "n2"
    daemon.answers["node.offline"] = Refused("n2 answers, so it is not dead.")
    assert mcv("fence confirm n2 --yes").code == 3


def test_a_drill_is_asked_about_and_tells_the_seconds_of_each_part(
    mcv: Speak, daemon: FakeDaemon
) -> None:
    daemon.job("ha.drill", DRILL)
    assert mcv("ha test --kill n3").code == 3
    assert mcv("ha test").code == 2

    shown = mcv("ha test --kill n3 --yes")
    assert (shown.code, shown.out.splitlines()[1:]) == (
        0,
        ["1.2        off, and seen off", "9.0        web1 on n1"],
    )

    left = [{"name": "web1", "node": "", "seconds": None}]
    daemon.job("ha.drill", {**DRILL, "ok": False, "services": left})
    shown = mcv("ha test --kill n3 --yes")
    assert shown.code == 5 and "web1 does not run" in shown.out
