"""Any file of a node's state may be damaged: mcvd starts, reads answer, nothing is deleted."""

import contextlib
import os
import random
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from mcv import daemon as daemon_module
from mcv import settings
from mcv.api.loops import BRING_UP, LOOPS, one_round
from mcv.cluster import members
from mcv.daemon import Daemon
from mcv.errors import McvError, PeerUnreachable
from mcv.rpc import pki
from mcv.rpc.auth import Caller
from mcv.system import files
from tests.fakes.domains import FakeDomains
from tests.fakes.drbd import FakeDrbd, World
from tests.fakes.volumes import FakeBridges, FakeLvm
from tests.fuzz import damage

RECORDED = Path(__file__).parent.parent / "recorded/1"
ROOT_SHELL = Caller("operator", "root", superuser_shell=True)
READS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("vm.list", {}),
    ("cluster.info", {}),
    ("config.show", {}),
    ("config.history", {}),
    ("job.list", {}),
    ("locks.list", {}),
    ("drbd.list", {}),
    ("network.list", {}),
    ("permission.list", {}),
    ("cluster.check", {}),
)
NEVER_ASIDE = ("config.json", "proposal.json", "key.pem", "certificate.pem", "drbd-secret")


class Silent:
    """Peers that do not answer."""

    def __init__(self, *_: Any) -> None:
        pass

    def call(self, node: str, *_: Any, **__: Any) -> Any:
        raise PeerUnreachable(f"{node} does not answer.")

    stream = call


@pytest.fixture(params=["noted", "alone-with-a-vm", "proposed"])
def state(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The directories of a node: recorded state, completed by what no recording holds."""
    top = tmp_path / "whole"
    for part in ("var", "drbd.d"):
        if (source := RECORDED / "trees" / request.param / part).exists():
            shutil.copytree(source, top / part)
    own = top / "var/n1"
    for other in (top / "var").iterdir():
        if other != own:
            shutil.rmtree(other)
    pki.create("n1", own / "pki")
    files.write_atomically(own / "pki/drbd-secret", "word\n")
    shutil.copy(RECORDED / "trees/staged/var/n1/staged.json", own / "staged.json")
    entry = (RECORDED / "entries/lab-node1-0017-d9cfd879.json").read_text()
    files.write_atomically(own / "journal/d9cfd879.json", entry.replace("node1", "n1"))
    for place in (top / "run/n1/locks/vm-web1.lock", top / "run/n1/locks/vm-web1.note"):
        files.write_atomically(
            place, '{"why": "a test", "since": "2026-01-01T00:00:00Z", "pid": 1}'
        )
    files.write_atomically(
        own / "sight.json", '{"boot": "b", "heard": {"n2": 1.0}, "heard_in": {}, "in_step": {}}'
    )
    return top


def woken(top: Path, patch: pytest.MonkeyPatch) -> Daemon:
    """The daemon of the node, as it starts: real state, doors that lead nowhere."""
    drbd = FakeDrbd("n1", World(), top / "drbd.d/n1")
    doors: dict[str, Any] = {
        "Hypervisor": lambda *_, **__: FakeDomains(),
        "Drbd": lambda *_, **__: drbd,
        "Lvm": lambda *_, **__: FakeLvm(),
        "Bridges": FakeBridges,
        "Peers": Silent,
    }
    for name, door in doors.items():
        patch.setattr(daemon_module, name, door)
    patch.setattr(members, "answers_at_all", lambda *_, **__: False)
    conf = settings.Settings(
        hostname="n1",
        node="n1",
        address="10.0.0.1",
        drbd_address="10.0.0.1",
        var=top / "var",
        run=top / "run/n1",
        drbd_directory=top / "drbd.d/n1",
    )
    return Daemon(conf)


def lives(daemon: Daemon) -> None:
    """All that a daemon does by itself, once, and every read; McvError alone may be raised."""
    daemon.close_interrupted()
    for loop in (BRING_UP, *LOOPS):
        with contextlib.suppress(McvError):
            one_round(daemon.host, loop)
    for operation, params in READS:
        assert daemon.calls.handle(ROOT_SHELL, operation, params, {}) is not None
    job = daemon.calls.handle(ROOT_SHELL, "permission.add", {"user": "carol"}, {})["job"]
    while (record := daemon.host.jobs.get(job).follow(1 << 30, 1.0))["state"] == "running":
        pass
    while any(thread.name == f"job-{job}" for thread in threading.enumerate()):
        time.sleep(0.001)
    assert record["error"] is None or "internal" not in record["error"]["message"], record


def tried(top: Path, where: Path, kind: damage.Damage, seed: int) -> None:
    """Damage one file and let the daemon live; AssertionError says what went wrong."""
    name = str(where.relative_to(top))
    kind(where, random.Random(seed))
    before = damage.look(where)
    print(f"{name} {kind.__name__} seed={seed}")
    with pytest.MonkeyPatch.context() as patch:
        try:
            daemon = woken(top, patch)
        except McvError as error:
            # A document edited by hand, of a node that has nobody to ask.
            assert where.name == "config.json" and kind is damage.odd_value, error
            return
        lives(daemon)
    if where.name in NEVER_ASIDE and (daemon.consensus.damage or where.name == "drbd-secret"):
        assert damage.look(where) == before
    elif where.suffix not in (".lock", ".note") and kind not in (
        damage.odd_value,
        damage.half,
        damage.of_another_user,
    ):
        assert before in damage.kept(where), "it was deleted"


def places(top: Path) -> list[Path]:
    return sorted(path for path in top.rglob("*") if path.is_file())


def test_an_undamaged_state_takes_part(state: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        daemon = woken(state, patch)
        assert daemon.consensus.damage is None
        lives(daemon)


def of_each_sort(top: Path) -> list[Path]:
    """One file of each directory and suffix: the others of the sort are read alike.

    Where there are notes they are what is looked at: the other recordings have the rest.
    """
    found = [path for path in places(top) if path.parent.name == "notes"] or places(top)
    sorts = {(path.parent, path.name.partition(".")[2]): path for path in found}
    own = [path for path in found if path.parent.name == "n1"]
    return sorted({*sorts.values(), *own})


def test_each_sort_of_file_damaged_in_each_way(state: Path, tmp_path: Path) -> None:
    for number, where in enumerate(of_each_sort(state)):
        for kind in damage.DAMAGES:
            damage.fresh_copy(state, tmp_path / "now")
            tried(tmp_path / "now", tmp_path / "now" / where.relative_to(state), kind, number)


@pytest.mark.parametrize(
    "seconds", [5, pytest.param(100, marks=pytest.mark.soak)], ids=["short", "long"]
)
def test_files_damaged_at_random(state: Path, tmp_path: Path, seconds: int) -> None:
    until = time.monotonic() + float(os.environ.get("FUZZ_SECONDS", seconds))
    seed = random.randrange(1 << 30)
    while time.monotonic() < until:
        seed += 1
        chance = random.Random(seed)
        damage.fresh_copy(state, tmp_path / "now")
        where = chance.choice(places(tmp_path / "now"))
        tried(tmp_path / "now", where, chance.choice(damage.DAMAGES), seed)
