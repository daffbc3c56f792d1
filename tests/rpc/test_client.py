"""The command line's calls: a daemon that is down, hung or restarts, and jobs that last."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from mcv.errors import Busy, DaemonDown, McvError, NotPermitted, OutcomeOpen
from mcv.rpc.client import Client, Interrupted, Progress
from mcv.rpc.server import Server
from mcv.rpc.wire import Limits
from tests.rpc.conftest import Wire


def looks(*states: dict[str, Any]) -> Any:
    """job.follow answering with one state after the other."""
    left = list(states)

    def follow(job: str, node: str, seen: int) -> dict[str, Any]:
        whole = {"state": "running", "seen": seen + 1, "progress": [], "result": None}
        return {**whole, "error": None, **left.pop(0)}

    return follow


def test_a_call_is_answered(wire: Wire) -> None:
    client = wire.client(environment={"SUDO_USER": "nobody-known", "SUDO_UID": "4242"})

    answer = client.call("say", name="web1", node="n1", operation="start")

    assert answer == {"name": "web1", "node": "n1", "operation": "start"}
    caller, _operation, _params, context = wire.calls[0]
    assert (caller.kind, caller.pid) == ("operator", os.getpid())
    assert context == {"sudo_user": "nobody-known", "sudo_uid": "4242"}


def test_a_name_that_an_operator_types_is_judged_by_the_operation(wire: Wire) -> None:
    assert wire.client().call("say", name="No Name") == {"name": "No Name"}


def test_no_daemon_is_said_with_what_helps(tmp_path: Path) -> None:
    client = Client(tmp_path / "mcvd.sock")

    with pytest.raises(DaemonDown, match=r"mcvd does not run on this host\.") as caught:
        client.call("say")

    assert caught.value.hint == "Start it with: systemctl start mcvd"


def test_a_dead_daemons_socket_is_no_daemon(tmp_path: Path) -> None:
    path = tmp_path / "mcvd.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as left:
        left.bind(str(path))

    with pytest.raises(DaemonDown, match="does not run"):
        Client(path).call("say")


def test_a_daemon_that_is_stopped_is_told_from_none_within_3_seconds(tmp_path: Path) -> None:
    path = tmp_path / "run" / "mcvd.sock"
    code = (
        "import os, pathlib, sys, time; from mcv.rpc.server import Server\n"
        "server = Server(lambda *c: 'yes', pathlib.Path(sys.argv[1]), allowed_uid=os.getuid())\n"
        "server.start_operator(); print('up', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, path], stdout=subprocess.PIPE) as daemon:
        try:
            assert daemon.stdout and daemon.stdout.readline() == b"up\n"
            assert Client(path).call("say") == "yes"
            daemon.send_signal(signal.SIGSTOP)
            begun = time.monotonic()

            with pytest.raises(DaemonDown, match=r"does not answer on this host \(timed out\)"):
                Client(path).call("say")

            assert time.monotonic() - begun < 3
        finally:
            daemon.kill()


def test_a_busy_daemon_is_waited_for_and_that_is_told_once(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    greet = wire.server._operators._greet  # type: ignore[union-attr]

    def slowly(sock: socket.socket) -> Any:
        time.sleep(0.6)
        return greet(sock)

    monkeypatch.setattr(wire.server._operators, "_greet", slowly)
    told: list[str] = []
    client = wire.client(hello_timeout=0.2, tell=told.append)

    assert client.call("say", a=1) == client.call("say", a=1) == {"a": 1}

    assert told == ["mcvd has much to do on this host: waiting for it, up to 60 s."]


def test_a_busy_daemon_is_given_up_after_its_turn(tmp_path: Path) -> None:
    path = tmp_path / "mcvd.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as deaf:
        deaf.bind(str(path))
        deaf.listen(1)
        begun = time.monotonic()

        with pytest.raises(
            DaemonDown, match=r"does not answer on this host \(timed out\)"
        ) as caught:
            Client(path, hello_timeout=0.2, turn=1).call("say")

        assert 1 <= time.monotonic() - begun < 2 and caught.value.exit_code == 3


def test_a_completion_does_not_wait(tmp_path: Path) -> None:
    path = tmp_path / "mcvd.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as deaf:
        deaf.bind(str(path))
        deaf.listen(1)
        begun = time.monotonic()

        with pytest.raises(DaemonDown):
            Client(path, hello_timeout=0.2, turn=0).call("say")

        assert time.monotonic() - begun < 1


def test_a_call_waits_where_the_kernel_keeps_no_more_callers(tmp_path: Path) -> None:
    path = tmp_path / "mcvd.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as deaf, contextlib.ExitStack() as held:
        deaf.bind(str(path))
        deaf.listen(0)
        with contextlib.suppress(BlockingIOError):
            for _ in range(8):
                waiting = held.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
                waiting.setblocking(False)
                waiting.connect(str(path))
        told: list[str] = []

        with pytest.raises(DaemonDown, match="too many wait for it"):
            Client(path, hello_timeout=0.1, turn=0.5, tell=told.append).call("say")

        assert len(told) == 1


def test_callers_wait_in_turn_for_a_place(tmp_path: Path) -> None:
    wire = Wire(tmp_path, Limits(operators=2))
    over = threading.Event()
    wire.until(over)
    answers: list[Any] = []
    try:
        callers = [
            threading.Thread(target=lambda: answers.append(wire.client().call("wait")))
            for _ in range(9)
        ]
        for caller in callers:
            caller.start()
        assert wire.begun.wait(5)
        time.sleep(0.3)
        assert len(wire.calls) == 2
        over.set()
        for caller in callers:
            caller.join(10)
    finally:
        wire.close()

    assert answers == ["waited"] * 9


def test_an_answer_that_does_not_come_leaves_the_outcome_open(wire: Wire) -> None:
    over = threading.Event()
    wire.until(over)

    with pytest.raises(OutcomeOpen, match="gave no answer to wait") as caught:
        wire.client(timeout=0.2).call("wait")

    over.set()
    assert caught.value.exit_code == 4


def test_a_job_is_followed_to_its_result(wire: Wire) -> None:
    bar = {"what": "web1", "done": 1, "total": 2, "unit": "B"}
    wire.operations["vm.create"] = lambda: {"job": "j1", "node": "n1"}
    wire.operations["job.follow"] = looks(
        {"progress": [bar]}, {}, {"state": "done", "result": {"name": "web1"}}
    )
    shown: list[Progress] = []

    result = wire.client().run("vm.create", progress=shown.append)

    assert result == {"name": "web1"}
    assert shown == [Progress("web1", 1, 2, "B")]
    assert [params.get("seen") for _caller, _operation, params, _context in wire.calls] == [
        None,
        0,
        1,
        2,
    ]


def test_an_operation_that_is_no_job_is_answered_at_once(wire: Wire) -> None:
    assert wire.client().run("say", a=1) == {"a": 1}


def test_a_job_that_fails_raises_its_error_whole(wire: Wire) -> None:
    error = {"class": "Busy", "message": "web1 is busy.", "hint": "Wait.", "problems": [["a", "b"]]}
    wire.operations["vm.create"] = lambda: {"job": "j1", "node": "n1"}
    wire.operations["job.follow"] = looks({"state": "failed", "error": error})

    with pytest.raises(Busy, match="web1 is busy") as caught:
        wire.client().run("vm.create")

    assert caught.value.hint == "Wait."
    assert caught.value.problems == [("a", "b")]


def test_ctrl_c_while_a_job_is_followed_names_the_job(wire: Wire) -> None:
    wire.operations["vm.create"] = lambda: {"job": "j1", "node": "n2"}
    bar = {"what": "web1", "done": 0, "total": 1, "unit": "B"}
    wire.operations["job.follow"] = looks({"progress": [bar]})

    def press_ctrl_c(_progress: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(Interrupted) as caught:
        wire.client().run("vm.create", progress=press_ctrl_c)

    assert (caught.value.job, caught.value.node) == ("j1", "n2")


def test_a_job_is_found_again_after_a_restart_of_the_daemon(wire: Wire) -> None:
    wire.server.stop()

    def start_again() -> None:
        time.sleep(0.5)
        wire.operations["job.follow"] = looks({"state": "done", "result": 7})
        wire.server = Server(wire._handle, wire.socket, allowed_uid=os.getuid())
        wire.server.start_operator()

    threading.Thread(target=start_again).start()

    assert wire.client().follow("j1", "n1") == 7


def test_a_daemon_that_stays_away_leaves_the_jobs_outcome_open(wire: Wire) -> None:
    wire.server.stop()

    with pytest.raises(OutcomeOpen, match="Job j1 is out of sight") as caught:
        wire.client(patience=0.3).follow("j1", "n1")

    assert "mcv job wait j1" in caught.value.hint


def test_an_error_while_a_job_is_looked_at_is_passed_on(wire: Wire) -> None:
    wire.operations["job.follow"] = looks()

    with pytest.raises(McvError, match="internal error"):
        wire.client().follow("j1", "n1")


def test_stopping_waits_for_answers_under_way(wire: Wire) -> None:
    over = threading.Event()
    wire.until(over)
    answers: list[Any] = []
    caller = threading.Thread(target=lambda: answers.append(wire.client().call("wait")))
    caller.start()
    assert wire.begun.wait(5)

    threading.Timer(0.2, over.set).start()
    wire.server.stop(grace=5)
    caller.join(5)

    assert answers == ["waited"]


def test_importing_the_client_imports_nothing_heavy() -> None:
    code = (
        "import sys, mcv.rpc.client\n"
        "heavy = {'Pyro5', 'ssl', 'msgspec', 'cryptography', 'serpent'}\n"
        "print(*sorted(heavy & sys.modules.keys()))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == ""


def test_a_call_needs_neither_msgspec_nor_cryptography() -> None:
    code = (
        "import sys, mcv.rpc.client_connection\n"
        "print(*sorted({'msgspec', 'cryptography'} & sys.modules.keys()))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == ""


def test_a_word_of_sudos_that_is_set_and_empty_is_told_and_refused(wire: Wire) -> None:
    for environment in ({"SUDO_USER": ""}, {"SUDO_UID": ""}, {"SUDO_USER": "", "SUDO_UID": "0"}):
        with pytest.raises(NotPermitted, match="set and empty"):
            wire.client(environment=environment).call("say")
