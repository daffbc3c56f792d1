"""Hosts, a network and real daemons in one process, and what may happen to them."""

import random
import traceback
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from mcv.cluster.facts import NodeFacts
from mcv.daemon import Daemon
from mcv.document.model import Cluster, Vm, digest
from mcv.document.store import Store
from mcv.drivers.domain_xml import domain_xml
from mcv.errors import McvError
from tests.fakes.facts import blank_facts
from tests.model.checks import Checks
from tests.model.disk import Disk
from tests.model.life import Life
from tests.model.network import Network
from tests.model.node import SimNode, first_document
from tests.model.patches import ROOT_SHELL, close_doors
from tests.model.scheduler import Scheduler

LOG = 4000  # lines kept of what happened
OPERATOR = 120.0  # seconds that an operator waits for a job


class World:
    """A cluster under one seed. The harness acts on it; tasks run as the scheduler chooses."""

    def __init__(
        self, directory: Path, seed: str, names: list[str], patch: pytest.MonkeyPatch
    ) -> None:
        self.chance = random.Random(seed)
        self.log: list[str] = []
        self.lies = False  # whether the operator calls living nodes dead
        self.lied = False
        self.load = 0.0
        self.scheduler = Scheduler(self.chance)
        self.checks = Checks(self)
        self.disk = Disk(self.scheduler, directory, self.checks.written)
        self.nodes = {name: SimNode(name, directory / name, self.fails) for name in names}
        self.network = Network(self.scheduler, self.chance, self.nodes, self.say, self.checks.fail)
        self.operators = Life("operator")
        self.booting = self.nodes[names[0]]
        self.outcomes: dict[str, int] = {}
        close_doors(self, patch)
        first = self._first(list(self.nodes.values()))
        for node in self.nodes.values():
            Store(node.settings.state, node.settings.history).begin(first)
            self.boot(node.name)

    def _first(self, nodes: list[SimNode]) -> Cluster:
        document = first_document(nodes)
        self.checks.root = document.epochs[0].id
        names = tuple(one.name for one in nodes)
        for number, name in enumerate(("web1", "web2")):
            owner = nodes[number % len(nodes)]
            uuid = str(UUID(int=number))
            vm = Vm(name=name, uuid=uuid, memory=1, cpus=1, node=owner.name, nodes=names)
            document = document.with_vm(vm)
            owner.domains.define(
                domain_xml(vm, sources={}, networks={}, node="n1", domain_type="qemu", emulator="e")
            )
        return document

    def say(self, what: str) -> None:
        self.log.append(f"{self.scheduler.now:8.2f} {what}")
        if len(self.log) > LOG:
            del self.log[: LOG // 2]

    def fails(self) -> bool:
        """Whether libvirt fails now: seldom, and never in peace."""
        return self.chance.random() < self.load

    # Hosts

    def boot(self, name: str) -> None:
        """Start a host, where it is off, and its daemon."""
        node = self.booting = self.nodes[name]
        node.boots += not node.host_up
        node.host_up = True
        node.life = Life(name)
        node.daemon = Daemon(node.settings)
        consensus = node.daemon.consensus
        hash_ = consensus.committed()[1]
        self.say(f"{name} starts with #{hash_[:6]}, {_of(consensus.proposal())}")
        unfinished = {entry.operation for entry in node.daemon.host.journal.entries()}
        node.daemon.host.jobs.close_interrupted(unfinished)
        self.scheduler.spawn(node.life, node.daemon.loops.run, "begin")

    def crash(self, name: str, host: bool) -> None:
        """End a node's daemon where it stands, or the whole host with what it had not synced."""
        node = self.nodes[name]
        self.say(f"{name}: the {'host' if host else 'daemon'} dies")
        self.scheduler.thaw(node.life)
        self.scheduler.kill(node.life)
        node.daemon = None
        if host:
            node.host_up = False
            node.domains.active.clear()
            self.disk.crash(name, self.chance)

    def declared(self, name: str) -> bool:
        """Whether the newest document settled anywhere calls a member offline."""
        newest = self.checks.newest
        return newest is not None and name in newest.nodes and name not in newest.online

    def answers_at_all(self, address: str, *_: Any) -> bool:
        """What an operator's check of a host said to be dead finds.

        An honest operator has looked for himself: a host that is up is found.
        """
        node = self.network.at(address)
        if not node.host_up:
            return False
        proposer = self.scheduler.current
        return not self.lies or (
            proposer is not None and self.network.linked(proposer.life.node, node.name)
        )

    def facts(self, host: Any, remote: Any, name: str, address: str) -> NodeFacts:
        """What a join finds out about the other host, which suits."""
        return blank_facts(name, address, self.nodes[name].certificate)

    # Operators

    def operate(self, name: str, operation: str, /, **params: Any) -> list[Any]:
        """Type a command on a node; what it answers, or the error it ends in, is appended."""
        told: list[Any] = []
        node = self.nodes[name]
        if node.daemon is None:
            return told
        daemon, life = node.daemon, node.life

        def work() -> None:
            try:
                answer = daemon.calls.handle(ROOT_SHELL, operation, params, {})
                if isinstance(answer, dict) and "job" in answer:
                    self._follow(answer, told)
                else:
                    told.append(answer)
            except McvError as error:
                told.append(error)
            except Exception:
                why = traceback.format_exc()
                self.checks.fail("internal error", f"{operation} on {name}: {why}")
            self._tell(name, operation, params, told)

        self.scheduler.spawn(life, work, operation)
        return told

    def _follow(self, answer: dict[str, Any], told: list[Any]) -> None:
        """Wait for a job as `mcv job wait` does; nothing is told of one that was cut off."""
        node = self.nodes[answer["node"]]
        if node.daemon is None:
            return
        jobs = node.daemon.host.jobs
        until = self.scheduler.now + OPERATOR
        while jobs.running(answer["job"]) and self.scheduler.now < until and node.daemon:
            self.scheduler.sleep(0.5)
        job = jobs.get(answer["job"])
        if job.state == "done":
            told.append(job.result)
        elif job.state == "failed":
            told.append(job.error)
            if job.error is not None and job.error["class"] == "Failed":
                self.checks.undone(job.id)

    def _tell(self, name: str, operation: str, params: dict[str, Any], told: list[Any]) -> None:
        end = told[0] if told else "lost"
        if isinstance(end, McvError):
            end = {"class": type(end).__name__, "message": end.message}
            told[0] = end
        word = end["class"] if isinstance(end, dict) and "class" in end else "done"
        word = "lost" if end == "lost" else word
        key = f"{operation} {word}"
        self.outcomes[key] = self.outcomes.get(key, 0) + 1
        shown = " ".join(f"{key}={value}" for key, value in params.items())
        self.say(f"{name}: {operation} {shown}: {end if word != 'done' else 'done'}")


def _of(proposal: tuple[Cluster, str] | None) -> str:
    return f"proposal #{digest(proposal[0])[:6]}" if proposal else "no proposal"
