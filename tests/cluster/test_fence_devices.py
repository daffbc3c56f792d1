"""Fence devices: judged by their agents on every node, and their secrets, which nobody sees."""

import os
import stat
import time
from pathlib import Path
from typing import Any

import pytest

from mcv.check import runner
from mcv.cluster import fence_devices, fence_keeping, fence_power, fence_trial, joining
from mcv.document.fencing import FenceDevice
from mcv.drivers.fence_agents import TIMEOUTS
from mcv.errors import DoneInPart, NotPermitted, Refused
from mcv.host import DryRun
from tests.fakes.fenced import Fenced
from tests.fakes.fenced import fenced as fenced
from tests.fakes.power import script
from tests.lab.power import PASSWORD, Mode


def kept(fenced: Fenced, node: str) -> list[Path]:
    directory = fenced.cluster.hosts[node].settings.pki / "fence"
    return sorted(directory.iterdir()) if directory.is_dir() else []


def add(fenced: Fenced, password: str = PASSWORD, **values: Any) -> Any:
    """Add the device pdu on n1, with other values where they are given."""
    usual = {
        "name": "pdu",
        "agent": "fence_lab",
        "parameters": fenced.parameters,
        "secrets": {"password": password},
    }
    return fenced.cluster.run("n1", fence_devices.add, **{**usual, **values})


def test_a_device_is_asked_by_every_node_and_written_down_without_its_password(
    fenced: Fenced,
) -> None:
    fenced.add("pdu")

    device = fenced.cluster.read("n3").fence_devices["pdu"]
    assert fenced.power.actions() == ["monitor"] * 3
    assert (device.agent, device.secrets) == ("fence_lab", ("password",))
    assert PASSWORD not in str(device)


def test_the_secrets_lie_on_every_node_for_root_alone(fenced: Fenced) -> None:
    fenced.add("pdu")

    for node in fenced.cluster.hosts:
        [path] = kept(fenced, node)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert PASSWORD in path.read_text()


def test_no_secret_is_in_anything_that_a_node_keeps_but_its_own_file(
    fenced: Fenced, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    fenced.add("pdu")
    fenced.set("n3", "pdu:3")
    with pytest.raises(Refused):
        add(fenced, name="other", parameters={**fenced.parameters, "ipport": "1"})
    fenced.cluster.run("n1", fence_trial.trial, node="n3")
    fenced.cluster.run("n2", fence_power.off, node="n3", dry_run=True)
    fenced.cluster.run("n2", fence_power.off, node="n3")
    fenced.power.mode("3", Mode.DEAF)
    with pytest.raises(DoneInPart):
        fenced.cluster.run("n2", fence_power.on, node="n3")
    fence_keeping.look_after(fenced.cluster.hosts["n2"])
    told = runner.check(fenced.cluster.hosts["n1"])

    found = []
    for directory, _, names in os.walk(fenced.cluster.directory):
        for name in names:
            path = Path(directory) / name
            if path.is_file() and PASSWORD.encode() in path.read_bytes():
                found.append(path)
    assert found and all(path.parent.name == "fence" for path in found)
    assert PASSWORD not in caplog.text + repr(told)
    for host in fenced.cluster.hosts.values():
        assert PASSWORD not in repr(list(host.jobs.listed()))


def test_everything_that_is_wrong_is_said_at_once_and_nothing_is_written(fenced: Fenced) -> None:
    wrong = {"colour": "red", "password": "x", "debug_file": "/root/x"}
    with pytest.raises(Refused) as refused:
        add(fenced, parameters=wrong, secrets={})

    said = " ".join(message for message, _ in refused.value.problems)
    for part in ("no parameter colour", "password is a secret", "debug_file is not", "needs ip"):
        assert part in said
    assert fenced.cluster.read().fence_devices == {}
    assert all(not kept(fenced, node) for node in fenced.cluster.hosts)


@pytest.mark.parametrize(
    ("name", "agent", "said"),
    [
        ("Pdu", "fence_lab", "no name for a fence device"),
        ("pdu", "/bin/sh", "no name of a fence agent"),
        ("pdu", "fence_lab ", "no name of a fence agent"),
        ("pdu", "fence_nobody", "This host has no"),
    ],
)
def test_a_name_or_an_agent_that_is_none_is_refused(
    fenced: Fenced, name: str, agent: str, said: str
) -> None:
    with pytest.raises(Refused, match=said):
        add(fenced, name=name, agent=agent)


def test_a_device_that_no_node_reaches_is_refused(fenced: Fenced) -> None:
    with pytest.raises(Refused) as refused:
        add(fenced, password="wrong-password")

    said = str(refused.value.problems)
    assert "No node can ask pdu" in said and "n3 cannot ask it" in said
    assert "wrong-password" not in said


def test_a_device_that_one_node_reaches_is_added_and_the_others_are_named(fenced: Fenced) -> None:
    answers = iter([True, False, False])
    done = fenced.power._done

    def some(options: dict[str, str], action: str, plug: str) -> dict[str, str]:
        return done(options, action, plug) if next(answers) else {"error": "Connection timed out"}

    fenced.power._done = some  # type: ignore[method-assign]
    view = add(fenced)

    assert len(view.unreached) == 2 and view.ok is False
    assert "Connection timed out" in str(view.unreached)


def test_a_dry_run_shows_what_the_agent_is_told_without_secrets_and_keeps_nothing(
    fenced: Fenced,
) -> None:
    shown = add(fenced, dry_run=True)

    assert isinstance(shown, DryRun)
    assert "password=********" in shown.plan[0] and PASSWORD not in str(shown)
    assert all(not kept(fenced, node) for node in fenced.cluster.hosts)
    assert fenced.cluster.read().fence_devices == {}


def test_another_password_is_another_set_and_the_old_one_goes(
    fenced: Fenced, monkeypatch: pytest.MonkeyPatch
) -> None:
    fenced.add("pdu")
    old = fenced.cluster.read().fence_devices["pdu"].secret_id
    fenced.power._password = "another-password"

    secrets = {"password": "another-password"}
    fenced.cluster.run("n2", fence_devices.set_, name="pdu", parameters={}, secrets=secrets)
    later = time.time() + 3600
    monkeypatch.setattr("mcv.drivers.fence_secrets.time.time", lambda: later)
    for host in fenced.cluster.hosts.values():
        fence_keeping.look_after(host)

    new = fenced.cluster.read().fence_devices["pdu"].secret_id
    assert new != old
    for node in fenced.cluster.hosts:
        assert [path.name for path in kept(fenced, node)] == [f"pdu.{new}.json"]


def test_what_is_not_named_stays_and_an_empty_value_takes_a_parameter_away(fenced: Fenced) -> None:
    fenced.add("pdu")

    for parameters in ({"power_timeout": "9"}, {"power_timeout": ""}):
        fenced.cluster.run("n1", fence_devices.set_, name="pdu", parameters=parameters, secrets={})
        device = fenced.cluster.read().fence_devices["pdu"]
        assert device.parameters["username"] == "root"
        assert device.secrets == ("password",)
        assert ("power_timeout" in device.parameters) == bool(parameters["power_timeout"])
        assert fenced.cluster.hosts["n3"].fences.secrets.read("pdu", device.secret_id)


def test_a_node_that_lacks_the_secrets_fetches_them(fenced: Fenced) -> None:
    fenced.add("pdu")
    host = fenced.cluster.hosts["n3"]
    host.fences.secrets.forget()

    fence_keeping.look_after(host)

    device = fenced.cluster.read().fence_devices["pdu"]
    assert host.fences.secrets.read("pdu", device.secret_id) == {"password": PASSWORD}


def test_only_a_settled_member_is_given_secrets(fenced: Fenced) -> None:
    fenced.add("pdu")
    id = fenced.cluster.read().fence_devices["pdu"].secret_id
    host = fenced.cluster.hosts["n1"]

    with pytest.raises(NotPermitted):
        fence_keeping.give(host, "pdu", id, sender="n9")
    with pytest.raises(Refused, match="does not have these secrets"):
        fence_keeping.give(host, "pdu", "0" * 16, sender="n2")
    assert fence_keeping.give(host, "pdu", id, sender="n2").secrets == {"password": PASSWORD}


def test_a_node_that_leaves_forgets_the_secrets(fenced: Fenced) -> None:
    fenced.add("pdu")

    joining.blank(fenced.cluster.hosts["n3"])

    assert kept(fenced, "n3") == []


def test_a_key_lies_in_a_file_of_its_own_that_the_agent_is_told(fenced: Fenced) -> None:
    secrets = fenced.cluster.hosts["n1"].fences.secrets
    secrets.keep("pdu", "a" * 16, {"identity_file": "KEY\nLINES\n", "password": "x"})
    device = FenceDevice(
        agent="fence_lab",
        parameters={"ip": "192.0.2.1"},
        secrets=("identity_file", "password"),
        secret_id="a" * 16,
    )

    instance = secrets.instance("pdu", device, "7")

    key = Path(instance.parameters["identity_file"])
    assert key.read_text() == "KEY\nLINES\n"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert instance.secrets == {"password": "x"}
    secrets.drop("pdu", "a" * 16)
    assert kept(fenced, "n1") == []


def test_a_device_is_monitored_again_after_ten_minutes_or_when_it_changes(
    fenced: Fenced, monkeypatch: pytest.MonkeyPatch
) -> None:
    fenced.add("pdu")
    host = fenced.cluster.hosts["n2"]
    before = len(fenced.power.requests)

    fence_keeping.look_after(host)
    fence_keeping.look_after(host)
    assert len(fenced.power.requests) == before + 1

    now = time.monotonic() + fence_keeping.MONITOR + 1
    monkeypatch.setattr("mcv.cluster.fence_keeping.time.monotonic", lambda: now)
    fence_keeping.look_after(host)
    assert len(fenced.power.requests) == before + 2


def test_a_list_says_which_device_does_not_answer_and_where(fenced: Fenced) -> None:
    fenced.add("pdu")
    fenced.set("n3", "pdu:3")
    assert fence_devices.listed(fenced.cluster.hosts["n1"])[0].ok is None
    fenced.power._password = "changed-there"

    fence_keeping.look_after(fenced.cluster.hosts["n2"])
    [row] = fence_devices.listed(fenced.cluster.hosts["n1"])

    assert (row.ok, row.nodes, list(row.unreached)) == (False, ["n3"], ["n2"])
    assert "Unable to connect/login" in row.unreached["n2"]


def test_a_node_does_not_monitor_the_device_that_only_it_hangs_on(fenced: Fenced) -> None:
    fenced.add("bmc3")
    fenced.set("n3", "bmc3:3")
    before = len(fenced.power.requests)

    fence_keeping.look_after(fenced.cluster.hosts["n3"])

    assert len(fenced.power.requests) == before


def test_a_device_goes_when_no_node_hangs_on_it(fenced: Fenced) -> None:
    fenced.add("pdu")
    fenced.set("n3", "pdu:3")

    with pytest.raises(Refused, match="n3 hangs on pdu"):
        fenced.cluster.run("n1", fence_devices.remove, name="pdu")
    fenced.add("other")
    fenced.cluster.run("n1", fence_devices.remove, name="other")
    assert list(fenced.cluster.read().fence_devices) == ["pdu"]


def test_an_agent_that_is_missing_on_one_node_is_said_of_that_node(
    fenced: Fenced, tmp_path: Path
) -> None:
    elsewhere = script(tmp_path / "empty", "other", "exit 1").parent
    fenced.cluster.hosts["n3"].fences.agents._directory = elsewhere

    with pytest.raises(Refused, match="n3: This host has no"):
        fenced.add("pdu")


def test_a_device_that_hangs_is_a_node_that_cannot_ask_it(
    fenced: Fenced, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(TIMEOUTS, "monitor", 0.5)
    fenced.power.mode("", Mode.HANG)

    with pytest.raises(Refused) as refused:
        fenced.add("pdu")

    assert "ran past" in str(refused.value.problems)
