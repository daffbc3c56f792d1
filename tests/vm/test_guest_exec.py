"""Commands in a guest: begun through its agent, asked for, and refused where none hears."""

import pytest

from mcv.drivers.libvirt_agent import Status
from mcv.errors import AgentSilent, Refused
from mcv.status import vms
from mcv.vm import guest_exec, pausing, power
from tests.fakes.cluster import FakeCluster


@pytest.fixture
def running(vm: FakeCluster) -> FakeCluster:
    """web1 runs on n1, and an agent in it."""
    vm.run("n1", power.start, name="web1")
    vm.domains["n1"].agent.connected.add("web1")
    return vm


def test_a_command_is_begun_and_its_end_is_told(running: FakeCluster) -> None:
    agent = running.domains["n1"].agent

    begun = running.run("n1", guest_exec.begin, name="web1", command=["ls", "/"])

    assert agent.ran == [("web1", ["ls", "/"])]
    state = running.run("n1", guest_exec.state, name="web1", process=begun.process)
    assert not state.ended
    agent.states[begun.process] = Status(
        exited=True, exitcode=2, err_data="bm8=", err_truncated=True
    )
    state = running.run("n1", guest_exec.state, name="web1", process=begun.process)
    assert (state.ended, state.exit_code, state.stderr, state.cut) == (True, 2, "bm8=", True)


def test_what_is_wrong_is_told_at_once(running: FakeCluster) -> None:
    running.run("n1", pausing.pause, name="web1")

    with pytest.raises(Refused) as refused:
        running.run("n1", guest_exec.begin, name="web1", command=["a\0", "x" * (128 << 10)])

    assert [message for message, _ in refused.value.problems] == [
        "The command has more than 131072 bytes.",
        "The command has a byte 0 in it, which no argument can have.",
        "web1 is paused, so its agent hears nothing.",
    ]
    with pytest.raises(Refused) as refused:
        running.run("n1", guest_exec.begin, name="web1", command=[])
    assert refused.value.problems[0][0] == "There is no command to run."


def test_a_vm_that_does_not_run_or_has_no_agent_is_refused(running: FakeCluster) -> None:
    running.domains["n1"].agent.silent.add("web1")
    with pytest.raises(AgentSilent):
        running.run("n1", guest_exec.begin, name="web1", command=["ls"])

    running.run("n1", power.stop, name="web1")
    with pytest.raises(Refused, match="does not run on n1") as refused:
        running.run("n1", guest_exec.begin, name="web1", command=["ls"])
    assert refused.value.hint == "mcv start web1"


def test_info_tells_of_the_agent_from_every_node(running: FakeCluster) -> None:
    host, agent = running.hosts["n2"], running.domains["n1"].agent

    seen = [vms.info(host, "web1").agent]
    agent.silent.add("web1")
    seen.append(vms.info(host, "web1").agent)
    agent.connected.clear()
    seen.append(vms.info(host, "web1").agent)
    running.down.add("n1")
    seen.append(vms.info(host, "web1").agent)

    assert seen == ["answers", "silent", "none", None]
