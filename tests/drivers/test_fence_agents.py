"""Fence agents: what they are told, what their exit codes mean, which programs are run at all."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mcv.drivers.fence_agents import MASK, TIMEOUTS, FenceAgents, Instance, Power
from mcv.errors import CommandFailed, NotFound, Refused
from tests.fakes.power import Switch, installed, plug, script
from tests.lab import power as lab
from tests.lab.power import PASSWORD, Mode

METADATA = """cat <<'END'
<resource-agent name="x"><parameters>
<parameter name="action" required="1"><content type="string"/></parameter>
<parameter name="ip" required="1"><content type="string"/></parameter>
<parameter name="password"><content type="string"/></parameter>
</parameters><actions><action name="on"/><action name="off"/><action name="status"/>
<action name="monitor"/></actions></resource-agent>
END"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    installed(tmp_path / "sbin")
    return tmp_path / "sbin"


@pytest.fixture
def agents(directory: Path) -> FenceAgents:
    return FenceAgents(directory)


@pytest.fixture
def power() -> Iterator[lab.Power]:
    with lab.Power({"1": Switch(), "2": Switch()}) as power:
        yield power


def answering(directory: Path, name: str, does: str) -> Instance:
    """An agent with metadata, that does this for every other action."""
    script(
        directory,
        name,
        f"told=$(cat)\ncase $told in *action=metadata*) {METADATA}\n;; *) {does};;esac",
    )
    return Instance(name, {"ip": "192.0.2.1"}, {"password": "hush-hush"})


# What an agent is told, and what it says


def test_off_and_then_status_switch_a_machine_off_and_see_it(
    agents: FenceAgents, power: lab.Power
) -> None:
    assert agents.status(plug(power, "1")) is Power.ON

    agents.off(plug(power, "1"))

    assert agents.status(plug(power, "1")) is Power.OFF
    assert agents.status(plug(power, "2")) is Power.ON
    agents.on(plug(power, "1"))
    assert agents.status(plug(power, "1")) is Power.ON
    agents.monitor(plug(power, ""))


def test_parameters_are_lines_on_standard_input_and_never_arguments(directory: Path) -> None:
    seen = directory.parent / "seen"
    instance = answering(directory, "fence_seen", f'printf "%s\\n" "$told" "[$*]" > {seen}')

    FenceAgents(directory).off(instance)

    assert seen.read_text() == "action=off\nip=192.0.2.1\npassword=hush-hush\n[]\n"


def test_the_plug_has_the_name_that_the_agent_gives_it(
    agents: FenceAgents, directory: Path, power: lab.Power
) -> None:
    old = METADATA.replace('name="ip" required="1"', 'name="port" required="1"')
    script(directory, "fence_old", old)

    assert agents.stdin(plug(power, "7"), "off").splitlines()[-1] == "plug=7"
    assert agents.stdin(Instance("fence_old", port="7"), "off") == "action=off\nport=7\n"
    assert "7" not in agents.stdin(Instance("fence_old", port="7"), "monitor")


def test_what_is_shown_of_the_input_has_no_secret(agents: FenceAgents, power: lab.Power) -> None:
    shown = agents.stdin(plug(power, "1"), "off", masked=True)

    assert f"password={MASK}" in shown
    assert PASSWORD not in shown + repr(plug(power, "1"))


@pytest.mark.parametrize("code", [0, 2])
def test_a_monitor_that_says_off_is_a_device_that_is_well(directory: Path, code: int) -> None:
    FenceAgents(directory).monitor(answering(directory, "fence_one", f"exit {code}"))


@pytest.mark.parametrize("code", [1, 3, 9])
def test_other_exit_codes_are_failures_and_no_state(directory: Path, code: int) -> None:
    agents = FenceAgents(directory)
    instance = answering(directory, "fence_ill", f"echo broken >&2; exit {code}")

    for call in (agents.status, agents.off, agents.on, agents.monitor):
        with pytest.raises(CommandFailed, match=f"failed with {code}: broken"):
            call(instance)


def test_an_off_that_says_off_by_the_code_of_status_is_no_success(directory: Path) -> None:
    with pytest.raises(CommandFailed, match="off failed with 2"):
        FenceAgents(directory).off(answering(directory, "fence_two", "exit 2"))


def test_a_secret_that_an_agent_repeats_is_masked(directory: Path) -> None:
    instance = answering(directory, "fence_loud", 'echo "$told" | grep password >&2; exit 1')

    with pytest.raises(CommandFailed) as failed:
        FenceAgents(directory).off(instance)

    assert "hush-hush" not in failed.value.message
    assert MASK in failed.value.message


def test_an_agent_that_hangs_is_ended_with_all_that_it_started(
    agents: FenceAgents, directory: Path, power: lab.Power, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = directory.parent / "child"
    instance = answering(directory, "fence_slow", f"sleep 60 & echo $! > {child}; wait")
    monkeypatch.setitem(TIMEOUTS, "off", 0.5)

    with pytest.raises(CommandFailed, match="ran past"):
        agents.off(instance)

    wait_for_end(int(child.read_text()))
    power.mode("1", Mode.HANG)
    with pytest.raises(CommandFailed, match="ran past"):
        agents.off(plug(power, "1"))
    assert power.machines["1"].is_on()


def wait_for_end(pid: int) -> None:
    until = time.monotonic() + 5
    while time.monotonic() < until:
        try:
            with open(f"/proc/{pid}/stat") as stat:
                if stat.read().rpartition(")")[2].split()[0] == "Z":
                    return
        except FileNotFoundError:
            return
        time.sleep(0.02)
    pytest.fail(f"{pid} runs on")


def test_an_agent_is_ended_as_soon_as_its_caller_may_not_act_any_more(
    agents: FenceAgents, power: lab.Power
) -> None:
    power.mode("1", Mode.HANG)

    def watch() -> None:
        raise Refused("The lease has ended.")

    with pytest.raises(Refused, match="lease has ended"):
        agents.off(plug(power, "1"), watch)


def test_a_device_that_takes_its_time_is_waited_for(agents: FenceAgents, power: lab.Power) -> None:
    power.delays["1"] = 0.5
    began = time.monotonic()

    agents.off(plug(power, "1"))

    assert time.monotonic() - began >= 0.5
    assert not power.machines["1"].is_on()


# Which programs are run


@pytest.mark.parametrize(
    "name", ["fence", "fence_", "fence_../x", "fence_A", "sh", "", "fence_x\n"]
)
def test_what_is_no_name_of_an_agent_is_refused(agents: FenceAgents, name: str) -> None:
    with pytest.raises(Refused, match="no name of a fence agent"):
        agents.metadata(name)


def test_an_agent_that_is_not_there_comes_with_a_package(agents: FenceAgents) -> None:
    with pytest.raises(NotFound, match="fence_ipmilan") as refused:
        agents.metadata("fence_ipmilan")

    assert "apt install fence-agents" in refused.value.hint


def test_what_others_than_root_can_write_is_not_run(agents: FenceAgents, directory: Path) -> None:
    (directory / "fence_lab").chmod(0o775)
    with pytest.raises(Refused, match="fence_lab can be written by others"):
        agents.metadata("fence_lab")

    (directory / "fence_lab").chmod(0o755)
    directory.chmod(0o777)
    with pytest.raises(Refused, match="sbin can be written by others"):
        agents.metadata("fence_lab")


def test_a_link_is_judged_by_what_it_leads_to(agents: FenceAgents, directory: Path) -> None:
    elsewhere = directory.parent / "elsewhere"
    elsewhere.mkdir()
    elsewhere.chmod(0o777)
    target = installed(elsewhere)
    os.symlink(target, directory / "fence_link")

    with pytest.raises(Refused, match="elsewhere can be written by others"):
        agents.metadata("fence_link")


def test_a_file_of_another_user_is_not_run(agents: FenceAgents, directory: Path) -> None:
    if os.geteuid() != 0:
        pytest.fail("only root can give a file away: run the tests as root")
    os.chown(directory / "fence_lab", 65534, 65534)

    with pytest.raises(Refused, match="belongs to the user 65534"):
        agents.metadata("fence_lab")


def test_a_parameter_that_the_agent_forgot_is_not_sent_to_it(
    agents: FenceAgents, directory: Path, power: lab.Power
) -> None:
    instance = plug(power, "1")
    agents.status(instance)
    script(directory, "fence_lab", f"cat > {directory.parent}/seen\n{METADATA}")

    with pytest.raises(CommandFailed, match="no parameter ipport and no username"):
        agents.off(instance)

    assert PASSWORD not in (directory.parent / "seen").read_text()


def test_metadata_are_asked_for_once_for_each_version(directory: Path) -> None:
    count = directory.parent / "count"
    instance = answering(directory, "fence_count", "exit 0")
    path = directory / "fence_count"
    path.write_text(path.read_text().replace("told=", f"echo x >> {count}\ntold=", 1))
    agents = FenceAgents(directory)

    for _ in range(3):
        agents.metadata(instance.agent)

    assert count.read_text() == "x\n"
