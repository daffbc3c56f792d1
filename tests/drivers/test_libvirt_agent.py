"""What an agent in a guest says, in libvirt's words, and what an error of it means."""

import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import libvirt
import pytest

from mcv.drivers import libvirt_agent
from mcv.drivers.libvirt import Hypervisor
from mcv.errors import AgentSilent, HypervisorFailed, McvError, OutcomeOpen, Refused
from tests.drivers.test_libvirt import DEFINITION, known

LIVE = """
<domain><devices><channel type="unix">
  <target type="virtio" name="org.qemu.guest_agent.0" state="{state}"/>
</channel></devices></domain>
"""


class Agent:
    """libvirt_qemu: the commands that came, and what is answered to each."""

    def __init__(self) -> None:
        self.asked: list[tuple[dict[str, Any], int]] = []
        self.answer: Callable[[str], object] = lambda command: {}

    def qemuAgentCommand(self, domain: Any, text: str, timeout: int, flags: int) -> str:
        command = json.loads(text)
        self.asked.append((command, timeout))
        return json.dumps({"return": self.answer(command["execute"])})


@pytest.fixture
def agent(monkeypatch: pytest.MonkeyPatch) -> Agent:
    one = Agent()
    monkeypatch.setattr(libvirt_agent, "qemu_module", lambda: one)
    return one


@pytest.fixture
def hypervisor() -> Iterator[Hypervisor]:
    libvirt_of_test = Hypervisor(known, "test:///default")
    libvirt_of_test.define(DEFINITION)
    libvirt_of_test.start("web1")
    yield libvirt_of_test
    libvirt_of_test.stop("web1")
    libvirt_of_test.undefine("web1")


def failure(code: int, message: str) -> libvirt.libvirtError:
    error = libvirt.libvirtError("x")
    error.err = (code, 10, message, 2, "", "", "", 0, 0)
    return error


def raising(error: Exception, on: str = "guest-exec") -> Callable[[str], object]:
    def answer(command: str) -> object:
        if command == on:
            raise error
        return {}

    return answer


def test_a_command_is_begun_after_a_sign_of_life_with_its_output_kept(
    hypervisor: Hypervisor, agent: Agent
) -> None:
    agent.answer = lambda command: {"pid": 77} if command == "guest-exec" else {}

    assert hypervisor.agent.begin("web1", ["ls", "-l", "/"]) == 77

    arguments = {"path": "ls", "arg": ["-l", "/"], "capture-output": True}
    assert agent.asked == [
        ({"execute": "guest-ping"}, 10),
        ({"execute": "guest-exec", "arguments": arguments}, 10),
    ]


def test_the_end_of_a_command_is_told_with_its_output(hypervisor: Hypervisor, agent: Agent) -> None:
    told = {"exited": True, "exitcode": 3, "out-data": "aGk=", "out-truncated": True, "new": 1}
    agent.answer = lambda command: told

    status = hypervisor.agent.status("web1", 77)

    assert (status.exited, status.exitcode, status.signal) == (True, 3, None)
    assert (status.out_data, status.out_truncated, status.err_data) == ("aGk=", True, "")
    assert agent.asked[0][0] == {"execute": "guest-exec-status", "arguments": {"pid": 77}}


SILENT = failure(libvirt.VIR_ERR_AGENT_UNRESPONSIVE, "QEMU guest agent is not connected")
CASES: list[tuple[Exception, str, type[McvError], str]] = [
    (SILENT, "guest-ping", AgentSilent, "The agent in web1 does not answer"),
    (SILENT, "guest-exec", OutcomeOpen, "Whether web1 runs ls is not known"),
    (
        failure(libvirt.VIR_ERR_ARGUMENT_UNSUPPORTED, "QEMU guest agent is not configured"),
        "guest-ping",
        Refused,
        "runs without a channel",
    ),
    (
        failure(
            libvirt.VIR_ERR_INTERNAL_ERROR,
            "internal error: unable to execute QEMU agent command 'guest-exec': Failed to execute "
            "child process “ls” (No such file or directory)",
        ),
        "guest-exec",
        Refused,
        "refuses: Failed to execute child process",
    ),
    (failure(libvirt.VIR_ERR_RPC, "no"), "guest-ping", HypervisorFailed, "Could not ask the agent"),
]


@pytest.mark.parametrize(("error", "on", "kind", "said"), CASES)
def test_an_error_says_what_was_done(
    hypervisor: Hypervisor,
    agent: Agent,
    error: Exception,
    on: str,
    kind: type[McvError],
    said: str,
) -> None:
    agent.answer = raising(error, on)

    with pytest.raises(kind, match=said) as raised:
        hypervisor.agent.begin("web1", ["ls"])

    assert type(raised.value) is kind


@pytest.mark.parametrize("nonsense", [{}, [], {"pid": "x"}, None])
def test_nonsense_is_told_as_such(hypervisor: Hypervisor, agent: Agent, nonsense: object) -> None:
    agent.answer = lambda command: nonsense

    with pytest.raises(HypervisorFailed, match="The agent in web1 is not understood"):
        hypervisor.agent.begin("web1", ["ls"])


def test_an_agent_that_hangs_holds_up_no_read_and_is_asked_once(
    hypervisor: Hypervisor, agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(libvirt_agent, "LOOK", 0.05)
    goes_on = threading.Event()
    agent.answer = lambda command: goes_on.wait(20)

    assert [hypervisor.agent.answers("web1") for _ in range(3)] == [False] * 3
    assert len(agent.asked) == 1

    monkeypatch.setattr(libvirt_agent, "LOOK", 20.0)
    goes_on.set()
    assert hypervisor.agent.answers("web1") is True
    assert hypervisor.silence == ""
    assert hypervisor.agent._pings == {}


def test_the_live_definition_tells_whether_the_channel_is_open() -> None:
    assert libvirt_agent.is_open(LIVE.format(state="connected"))
    assert not libvirt_agent.is_open(LIVE.format(state="disconnected"))
    assert not libvirt_agent.is_open("<domain><devices/></domain>")


def test_what_does_not_run_has_no_agent(hypervisor: Hypervisor) -> None:
    assert hypervisor.agent.is_connected("web1") is hypervisor.agent.is_connected("no") is False
