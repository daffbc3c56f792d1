"""What systemd and cron begin: when, in which order, and what ends it."""

import re
import subprocess
from pathlib import Path

import pytest

ETC = Path(__file__).parents[1] / "etc"


def unit_wait() -> str:
    """The command that mcv-verify.service begins with, as the shell gets it."""
    text = (ETC / "mcv-verify.service").read_text(encoding="utf-8")
    [command] = re.findall(r"^ExecStartPre=/bin/sh -c '(.*)'$", text, flags=re.M)
    return str(command).replace("%%", "%").replace("$$", "$")


def cron_wait() -> str:
    """The sleep of the job in /etc/cron.d/mcv, as the shell gets it."""
    text = (ETC / "cron.d/mcv").read_text(encoding="utf-8")
    [command] = re.findall(r"exit 0; (sleep .*?m\"); ", text)
    return str(command).replace("\\%", "%")


def slept(tmp_path: Path, command: str, name: str, trigger: str = "mcv-verify.timer") -> str:
    """What a command sleeps on a node of that name; "" where it does not sleep."""
    for program, said in (("uname", f"echo {name}"), ("sleep", 'echo "$@"')):
        (tmp_path / program).write_text(f"#!/bin/sh\n{said}\n")
        (tmp_path / program).chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "TRIGGER_UNIT": trigger}
    done = subprocess.run(
        ["/bin/sh", "-c", command], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.mark.parametrize("name", ["n1", "n2", "node17"])
def test_a_node_verifies_at_a_minute_of_its_own_whoever_begins_it(
    tmp_path: Path, name: str
) -> None:
    minute = slept(tmp_path, unit_wait(), name)

    assert re.fullmatch(r"[0-9]{1,2}m", minute) and int(minute[:-1]) < 60
    assert slept(tmp_path, cron_wait(), name) == minute


def test_nodes_of_one_image_do_not_begin_at_once(tmp_path: Path) -> None:
    minutes = {slept(tmp_path, unit_wait(), f"node{number}") for number in range(6)}

    assert len(minutes) > 3


def test_a_verification_that_is_begun_by_hand_does_not_wait(tmp_path: Path) -> None:
    assert slept(tmp_path, unit_wait(), "n1", trigger="") == ""


def unit(name: str) -> dict[str, list[str]]:
    """The settings of a unit, each with all words that it was given."""
    found: dict[str, list[str]] = {}
    for line in (ETC / name).read_text(encoding="utf-8").splitlines():
        key, is_setting, words = line.partition("=")
        if is_setting and not line.startswith("#"):
            found.setdefault(key, []).extend(words.split())
    return found


def test_the_lease_is_given_back_after_guests_and_mcvd_and_before_etcd_ends() -> None:
    lease = unit("mcv-lease.service")

    assert {"mcvd.service", "mcv-guests.service", "libvirt-guests.service"} <= set(lease["Before"])
    assert {"mcv-etcd.service", "network-online.target"} <= set(lease["After"])


def test_the_lease_runs_where_the_node_is_armed_alone_and_nobody_stops_it_by_hand() -> None:
    lease = unit("mcv-lease.service")

    assert "ConditionPathExists" not in lease  # it ends what an earlier process has left
    assert lease["RestartPreventExitStatus"] == ["0"]
    assert lease["RefuseManualStop"] == ["yes"]
    assert "WantedBy" not in lease
    for unit_of_mcv in ("mcvd.service", "mcv-guests.service"):
        assert not {"Requires", "BindsTo", "PartOf"} & unit(unit_of_mcv).keys()


def test_the_watchdog_stays_open_while_the_lease_is_started_again() -> None:
    lease = unit("mcv-lease.service")

    assert lease["FileDescriptorStoreMax"] == ["1"]
    assert lease["NotifyAccess"] == ["main"]
    assert (lease["Restart"], lease["StartLimitIntervalSec"]) == (["always"], ["0"])
    assert lease["RuntimeDirectoryPreserve"] == ["yes"]


def test_the_lease_begins_before_others_and_no_refused_priority_keeps_it_from_that() -> None:
    lease = unit("mcv-lease.service")

    assert lease["Nice"] == ["-20"]
    assert not [key for key in lease if key.startswith("CPUScheduling")]
