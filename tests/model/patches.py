"""Every door from real code to the real world, closed: time, threads, files, chance, hosts."""

import contextlib
import itertools
import json
import uuid
from collections.abc import Iterator
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from mcv import daemon, host
from mcv.api import dispatch, loops
from mcv.cluster import ha_rounds, join, joining, leaving, members, remote_facts, taking
from mcv.consensus.unanimous import coordinator, declaration, member, proposer, rounds
from mcv.document import generation, initial, store
from mcv.drbd import handler_file
from mcv.errors import PeerUnreachable
from mcv.ha import manager
from mcv.recovery import journal_recovery
from mcv.rpc.auth import Caller
from mcv.status import cluster as cluster_status
from mcv.status import report
from mcv.system import fanout, files, observations, ssh, stall
from mcv.transaction import executor, jobs
from mcv.vm import autostart, create, power
from tests.fakes.keys import FakeKeys
from tests.model import node as nodes
from tests.model import threads
from tests.model.scheduler import FakeTime

if TYPE_CHECKING:
    from tests.model.world import World

ROOT_SHELL = Caller("operator", "root", superuser_shell=True)


class Secrets:
    """The module `secrets`, drawn from the seed."""

    def __init__(self, world: "World") -> None:
        self._world = world

    def token_hex(self, size: int) -> str:
        return f"{self._world.chance.getrandbits(8 * size):0{2 * size}x}"


def close_doors(world: "World", patch: pytest.MonkeyPatch) -> None:
    """Let real code run in the world, and touch nothing outside of it."""
    scheduler = world.scheduler
    clock, threading = FakeTime(scheduler), threads.module(scheduler)
    for module in (
        member,
        proposer,
        coordinator,
        rounds,
        fanout,
        executor,
        store,
        jobs,
        daemon,
        loops,
        journal_recovery,
        power,
        autostart,
        join,
        joining,
        observations,
        leaving,
        report,
        cluster_status,
        taking,
        ha_rounds,
        manager,
    ):
        for name, stand_in in (("time", clock), ("threading", threading)):
            if hasattr(module, name):
                patch.setattr(module, name, stand_in)
    for module in (generation, initial):
        patch.setattr(module, "timestamp", lambda: f"{scheduler.now:.3f}")
    for module in (proposer, declaration, initial, host, jobs):
        patch.setattr(module, "secrets", Secrets(world))
    patch.setattr(proposer, "random", world.chance)
    numbers = itertools.count(1)
    uuids = SimpleNamespace(uuid4=lambda: uuid.UUID(int=next(numbers), version=4))
    patch.setattr(create, "uuid", uuids)
    patch.setattr(files, "os", world.disk)
    patch.setattr(files, "remove", world.disk.remove(files.remove))
    patch.setattr(dispatch, "_bind", nodes.nothing)  # slow, and tests/commands bind every call
    # A real lock never waits by the scheduler. No document lies in etcd here: nothing is written.
    patch.setattr(handler_file, "_writing", contextlib.nullcontext())
    # In a thread of its own, for a libvirt that hangs; here none does.
    patch.setattr(stall, "until_stalled", lambda work, what: work())
    patch.setattr(jobs.Jobs, "_write", nodes.nothing)  # for humans; nothing is decided by it
    patch.setattr(members, "answers_at_all", world.answers_at_all)
    patch.setattr(remote_facts, "suitable", world.facts)
    patch.setattr(ssh, "connect", lambda address, *_: _session(world, address))
    doors = {
        "Hypervisor": lambda known, node, gate: world.booting.domains.bound(known),
        "Drbd": lambda gate: SimpleNamespace(statuses=dict, minors=list),
        "Lvm": lambda notes: SimpleNamespace(all=lambda: ({}, []), groups=dict),
        "Bridges": lambda: SimpleNamespace(list=list, tagged=list),
        "LocalEtcd": lambda *_: SimpleNamespace(unit=SimpleNamespace(is_there=False)),
        "Locks": lambda _: threads.Locks(scheduler),
        "Peers": lambda identity, find: world.network.peers(world.booting)(identity, find),
        "boot_id": lambda: world.booting.boot,
        "Server": lambda *_, **__: SimpleNamespace(
            close_untrusted=nodes.nothing, also_listen=nodes.nothing, listen_only=nodes.nothing
        ),
        "Keys": lambda identity: FakeKeys(identity.certificate_pem),
        "load_or_create": lambda node, _: nodes.Identity(world.nodes[node].certificate),
    }
    for name, door in doors.items():
        patch.setattr(daemon, name, door)


@contextlib.contextmanager
def _session(world: "World", address: str) -> Iterator[Any]:
    """One SSH session: commands of the other host's own mcv."""
    yield SimpleNamespace(run=lambda *words, stdin="": _remote(world, address, words, stdin))


def _remote(world: "World", address: str, words: tuple[str, ...], stdin: str) -> str:
    world.scheduler.pause()
    target = world.network.at(address)
    if target.daemon is None or not target.host_up:
        raise PeerUnreachable(f"{address} does not answer over SSH.")
    real = target.daemon.calls
    if words[1:3] == ("cluster", "stage-join"):
        return json.dumps(real.handle(ROOT_SHELL, "cluster.stage_join", {"document": stdin}, {}))
    params = {"operation": words[3]}
    return json.dumps(real.handle(ROOT_SHELL, "cluster.unstage_join", params, {}))
