"""What is done on a witness's machine, by its own shell; a systemctl starts a real etcd."""

import contextlib
import os
import signal
import ssl
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mcv.drivers.etcd_witness import WitnessMachine
from mcv.errors import CommandFailed, McvError, NotUnderstood
from mcv.etcd.client import Etcd
from mcv.etcd.config import Configuration, url
from mcv.etcd.gateway import Endpoint, Gateway
from mcv.rpc import pki, tls
from tests.etcd.server import ADDRESS, free_port

# Notes what it is asked; "restart mcv-etcd.service" starts etcd by its file, as the unit does.
SYSTEMCTL = """#!/bin/sh
echo "$*" >> "{notes}"
case "$1 $2" in
    "is-active mcvd.service") echo inactive; exit 3 ;;
    "is-active etcd.service") echo active ;;
    "is-enabled etcd.service") cat "{notes}.enabled" ;;
    "mask --now") echo masked > "{notes}.enabled" ;;
    "unmask etcd.service") echo enabled > "{notes}.enabled" ;;
    "restart mcv-etcd.service")
        [ -e "{notes}.broken" ] && exit 1
        [ -e "{notes}.pid" ] && kill "$(cat "{notes}.pid")"
        env $(cat "{directory}/etcd.env") etcd > /dev/null 2>&1 &
        echo $! > "{notes}.pid" ;;
    "disable --now") [ -e "{notes}.pid" ] && kill "$(cat "{notes}.pid")"; rm -f "{notes}.pid" ;;
esac
exit 0
"""


class LocalSession:
    """Runs what is run over SSH here, with another systemctl before the real one."""

    def __init__(self, directory: Path) -> None:
        self.notes = directory / "notes"
        self.directory = directory / "etcd"
        programs = directory / "bin"
        programs.mkdir()
        text = SYSTEMCTL.format(notes=self.notes, directory=self.directory)
        (programs / "systemctl").write_text(text)
        (programs / "systemctl").chmod(0o755)
        Path(f"{self.notes}.enabled").write_text("enabled\n")
        self._environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}

    def run(self, *command: str, stdin: str = "", timeout: float = 60, called: str = "") -> str:
        done = subprocess.run(
            command,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            env=self._environment,
        )
        if done.returncode:
            raise CommandFailed(f"`{called}` exited with {done.returncode}: {done.stderr}")
        return "Welcome to w1!\n" + done.stdout

    @property
    def asked(self) -> list[str]:
        return self.notes.read_text().splitlines()

    def end(self) -> None:
        pid = Path(f"{self.notes}.pid")
        if pid.exists():
            os.kill(int(pid.read_text()), signal.SIGKILL)


@pytest.fixture
def session(tmp_path: Path) -> Iterator[LocalSession]:
    session = LocalSession(tmp_path)
    yield session
    session.end()


@pytest.fixture
def machine(session: LocalSession, tmp_path: Path) -> WitnessMachine:
    return WitnessMachine(session, session.directory, tmp_path / "units", Path("/usr/bin/etcd"))


def configuration(machine: WitnessMachine) -> Configuration:
    peer_port = free_port()
    return Configuration(
        name="w1",
        address=ADDRESS,
        port=free_port(),
        peer_port=peer_port,
        cluster="0123",
        members={"w1": url(ADDRESS, peer_port)},
        state="new",
        directory=machine.directory,
        key=machine.key,
    )


def set_up(machine: WitnessMachine, tmp_path: Path) -> Gateway:
    """Set a witness up that is alone; a gateway to it with a member's key."""
    member = pki.create("n1", tmp_path / "pki")
    own = tmp_path / "n1.pem"
    own.write_text(pki.certificate_at(member, ADDRESS))
    key, certificate = pki.key_and_certificate("w1", ADDRESS)
    files = {
        "key.pem": key,
        "certificate.pem": certificate,
        "bundle.pem": own.read_text() + certificate,
    }
    made = configuration(machine)
    machine.set_up(made, files, "[Unit]\n", "cluster 1")

    def context(_: Endpoint) -> ssl.SSLContext:
        return tls.client_context(member, certificate, own)

    return Gateway([Endpoint("w1", ADDRESS, made.port)], context, 10.0)


def test_etcd_serves_there_by_what_was_brought(
    machine: WitnessMachine, session: LocalSession, tmp_path: Path
) -> None:
    gateway = set_up(machine, tmp_path)

    found = None
    until = time.monotonic() + 20
    while found is None and time.monotonic() < until:
        with contextlib.suppress(McvError):
            found = Etcd(gateway).read(b"/")
    gateway.close()
    facts = machine.look()

    assert found is not None and found.kvs == []
    assert (facts.of, facts.is_set_up, facts.has_lost_data) == ("cluster 1", True, False)
    assert facts.version.startswith("3.")
    assert (facts.mcvd, facts.debians) == ("inactive", "active")
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in machine.directory.iterdir()}
    assert modes["key.pem"] == 0o600
    assert {"member", "of", "masked", "etcd.env", "bundle.pem"} <= set(modes)
    assert (tmp_path / "units/mcv-etcd.service").read_text() == "[Unit]\n"
    assert "mask --now etcd.service" in session.asked
    assert "enable mcv-etcd.service" in session.asked


def test_all_of_it_goes_again_and_debians_etcd_is_as_it_was(
    machine: WitnessMachine, session: LocalSession, tmp_path: Path
) -> None:
    set_up(machine, tmp_path).close()

    for _ in range(2):
        machine.discard()

    assert not machine.directory.exists()
    assert not (tmp_path / "units/mcv-etcd.service").exists()
    assert session.asked.count("unmask etcd.service") == 1
    assert session.asked.count("start etcd.service") == 1
    facts = machine.look()
    assert (facts.is_set_up, facts.of, facts.has_lost_data) == (False, "", False)


def test_other_certificates_are_trusted_after_a_restart(
    machine: WitnessMachine, session: LocalSession, tmp_path: Path
) -> None:
    set_up(machine, tmp_path).close()
    before = machine.bundle()
    _, another = pki.key_and_certificate("n9", ADDRESS)

    machine.follow(before + "\n" + another, pace=2)

    assert machine.bundle() == (before + "\n" + another).strip()
    assert session.asked.count("restart mcv-etcd.service") == 2
    started_by = (machine.directory / "etcd.env").read_text().splitlines()
    assert {"ETCD_HEARTBEAT_INTERVAL=500", "ETCD_ELECTION_TIMEOUT=5000"} <= set(started_by)
    assert "ETCD_NAME=w1" in started_by


def test_lost_data_are_seen(machine: WitnessMachine, tmp_path: Path) -> None:
    set_up(machine, tmp_path).close()
    subprocess.run(["rm", "-r", machine.directory / "data"], check=True)

    assert machine.look().has_lost_data


def test_etcd_that_does_not_start_is_an_error(
    machine: WitnessMachine,
    session: LocalSession,
    tmp_path: Path,
) -> None:
    Path(f"{session.notes}.broken").touch()

    with pytest.raises(CommandFailed, match=r"start mcv-etcd\.service"):
        set_up(machine, tmp_path)


def test_a_machine_that_tells_nothing_is_none() -> None:
    class Mute:
        def run(self, *command: str, stdin: str = "", timeout: float = 60, called: str = "") -> str:
            return "This account is currently not available.\n"

    with pytest.raises(NotUnderstood, match="not available"):
        WitnessMachine(Mute()).look()
