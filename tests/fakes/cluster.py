"""Real operations, a real document, real agreement, journal and locks; fake doors."""

import contextlib
import functools
import itertools
import json
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import msgspec

from mcv import settings
from mcv.api import dispatch
from mcv.cluster import joining
from mcv.consensus.doors import Doors
from mcv.consensus.etcd import arms
from mcv.consensus.etcd.agreement import EtcdAgreement
from mcv.consensus.etcd.door import Door
from mcv.consensus.unanimous.agreement import UnanimousAgreement
from mcv.document.identity import known_uuids
from mcv.document.initial import alone
from mcv.document.model import Cluster, Node
from mcv.document.store import Store
from mcv.drbd import roles
from mcv.drivers.fence_agents import FenceAgents
from mcv.drivers.fence_doors import FenceDoors
from mcv.drivers.fence_secrets import FenceSecrets
from mcv.errors import (
    CallLost,
    CommandFailed,
    McvError,
    NotFound,
    NotMember,
    NotThatNode,
    PeerUnreachable,
    Refused,
    ways_out,
)
from mcv.etcd.keys import ClusterKeys
from mcv.ha.gate import Gate
from mcv.host import Host
from mcv.rpc import names
from mcv.rpc.auth import Caller
from mcv.rpc.tunnel import Granted
from mcv.rpc.values import internal_error
from mcv.storage.pieces import PIECE
from mcv.system import files
from mcv.system.locks import Locks
from mcv.system.observations import Observations
from mcv.transaction import jobs
from mcv.transaction.executor import escort
from mcv.transaction.jobs import Job, Jobs
from mcv.transaction.journal import Journal
from mcv.vm import consoles, libvirt_hook, streams
from tests.fakes import lines
from tests.fakes.blocks import FakeBlocks, FakeNbd, Pieces
from tests.fakes.directories import FakeDirectories
from tests.fakes.domains import FakeDomains
from tests.fakes.drbd import FakeDrbd, World
from tests.fakes.etcd import FakeEtcd, Reached
from tests.fakes.etcd_local import FakeLocalEtcd, FakeVoting
from tests.fakes.host_devices import FakeHostDevices
from tests.fakes.keys import FakeKeys
from tests.fakes.local_lease import FakeLocalLease, FakeWatchdogs
from tests.fakes.services import FakeServiceDoors, Segment
from tests.fakes.volumes import FakeBridges, FakeLvm

Spy = Callable[[str, str, str], None]  # (caller, node, operation), may raise
Bend = Callable[[str, str, Any], Any]  # (node, operation, answer): what arrives instead


class FakeCluster:
    """Nodes in one process. Calls between them pass `spy`, fail to those in `down`, and
    bring back what `bend` makes of the answer.

    A cluster that does not begin here boots from what the directory holds.
    """

    def __init__(
        self, directory: Path, names: tuple[str, ...] = ("n1", "n2"), begins: bool = True
    ) -> None:
        self.directory = directory
        self.world = World()
        self.down = self.world.down
        self.spy: Spy = lambda caller, node, operation: None
        self.answered: Spy = lambda caller, node, operation: None
        self.bend: Bend = lambda node, operation, answer: answer
        self.hosts: dict[str, Host] = {}
        self.agreements: dict[str, UnanimousAgreement] = {}
        self.etcd = FakeEtcd()  # of all nodes together
        self.voting = FakeVoting(down=self.down)
        self.etcd_of: dict[str, FakeLocalEtcd] = {}
        self.domains = {name: FakeDomains() for name in names}
        self.drbd = {
            name: FakeDrbd(name, self.world, directory / "drbd.d" / name) for name in names
        }
        self.twice: list[str] = []  # what ran on two nodes at an instant
        for door in self.domains.values():
            door.ran = self._count
        self.lvm = {name: FakeLvm() for name in names}
        for name in names:
            self.drbd[name].lvm = self.lvm[name]
        self.directories = {name: FakeDirectories() for name in names}
        self.devices: dict[str, Pieces] = {}  # what both replicas of a resource hold
        self.blocks = {
            name: FakeBlocks(
                self.lvm[name], self.directories[name], functools.partial(self._device, name)
            )
            for name in names
        }
        for name in names:
            self.domains[name].volume = self.blocks[name].volume
        self.wrote: set[str] = set()  # nodes on which a guest wrote after it had arrived
        self._writes = itertools.count()
        self.written: Pieces = {}  # what guests wrote to disks that are mirrored
        for name in names:
            self.domains[name].mirrors.copy = functools.partial(self._copy_volume, name)
            self.domains[name].mirrors.write = functools.partial(self._write_volume, name)
        self.bridges = {name: FakeBridges() for name in names}
        self.devices_of = {name: FakeHostDevices() for name in names}
        self.watchdogs = {name: FakeWatchdogs() for name in names}
        self.segment = Segment()
        self.services = {name: FakeServiceDoors(name, self.segment) for name in names}
        self.boots = dict.fromkeys(names, 1)  # how often each host has come up
        self.going_down: set[str] = set()  # hosts that shut down
        self.ordered: list[tuple[str, str]] = []  # (node, "reboot" or "poweroff") of systemd
        self.macs: dict[str, list[str]] = {}  # of each host's cards
        self.packets: list[tuple[str, list[str], list[str]]] = []  # (sender, MACs, addresses)
        self.mute: set[str] = set()  # hosts that can send no magic packet
        first = _member_document(directory, names) if begins else None
        for name in names:
            self.boot(name, first)
        for name in names if begins else ():
            self.look(name)

    def boot(self, name: str, first: Cluster | None = None) -> Host:
        """Start a node's daemon, anew: what was only in its memory is gone."""
        if name in self.hosts:
            _let_go(self.hosts[name])
        conf = settings_of(self.directory, name)
        self.directories[name].make(str(conf.images))
        store = Store(conf.state, conf.history)
        self.etcd_of[name] = FakeLocalEtcd(
            name,
            conf.state / "etcd",
            self.voting,
            functools.partial(self._reach_etcd, name),
            lambda change: self.spy(name, "etcd", f"answered {change}"),
        )
        if first is not None:
            store.begin(first)
            files.write_atomically(conf.pki / "drbd-secret", "word\n")
        self.domains[name].hook = functools.partial(libvirt_hook.answer, conf)
        call = self._caller(name)
        keys = FakeKeys(f"certificate of {name}")
        self.agreements[name] = UnanimousAgreement(name, store, call, keys)
        self.agreements[name].contact.advice = ways_out  # who is silent here, is off for good
        reached = Reached(
            self.etcd,
            functools.partial(self._reach_etcd, name),
            lambda request: self.spy(name, "etcd", f"answered {request}"),
        )
        consensus = Doors(
            self.agreements[name],
            lambda id: EtcdAgreement(
                name, store, call, keys, Door(reached, ClusterKeys(id)), self._silent_voters
            ),
        )
        gate = Gate(name, lambda: arms.of(name, conf.run, consensus, reached), conf.run)
        self.domains[name].gate = self.drbd[name].gate = self.services[name].gate = gate
        self.domains[name].known = lambda: known_uuids(consensus.both())
        self.hosts[name] = Host(
            settings=conf,
            consensus=consensus,
            journal=Journal(conf.state / "journal"),
            jobs=Jobs(name, conf.state / "jobs"),
            locks=Locks(conf.locks),
            domains=cast(Any, self.domains[name]),
            drbd=cast(Any, self.drbd[name]),
            volumes=cast(Any, self.lvm[name]),
            directories=cast(Any, self.directories[name]),
            blocks=cast(Any, self.blocks[name]),
            bridges=cast(Any, self.bridges[name]),
            devices=cast(Any, self.devices_of[name]),
            etcd=cast(Any, self.etcd_of[name]),
            lease=cast(Any, FakeLocalLease(conf.run, self.watchdogs[name])),
            services=cast(Any, self.services[name]),
            fences=FenceDoors(
                FenceAgents(self.directory / "sbin"), FenceSecrets(conf.pki / "fence")
            ),
            keyspace=reached,
            call=call,
            forward=lambda node, operation, params, who: None,
            tunnel=self._tunnel(name),
            certificate=f"certificate of {name}",
            observations=Observations(conf.state / "sight.json", f"boot {self.boots[name]}"),
            is_going_down=lambda: name in self.going_down,
            go_down=lambda verb: self.ordered.append((name, verb)),
            own_macs=lambda: list(self.macs.get(name, ())),
            send_magic=functools.partial(self._send_magic, name),
            advice=ways_out,
        )
        return self.hosts[name]

    def _send_magic(
        self, name: str, macs: Sequence[str], addresses: Sequence[str], own: str
    ) -> list[str]:
        if name in self.mute:
            raise CommandFailed("Network is unreachable.")
        self.packets.append((name, list(macs), list(addresses)))
        return ["255.255.255.255 by br0"]

    def _reach_etcd(self, name: str, request: str) -> None:
        """A node reaches etcd while it is up itself, and a majority of voters trusts it."""
        self.spy(name, "etcd", request)
        if name in self.down or 2 * len(self.down) >= len(self.domains):
            raise PeerUnreachable(f"etcd on {name} does not answer.")
        if not self.voting.members:
            return  # it was set up by no operation
        if not (self.voting.has_quorum and self.voting.trusts(f"certificate of {name}")):
            raise PeerUnreachable(f"etcd does not answer {name}.")

    def _silent_voters(self) -> list[str]:
        return sorted(self.down)

    def reboot(self, name: str) -> Host:
        """Take a host down, and boot it: what ran there does not run any more."""
        self.domains[name].power_off()
        self.boots[name] += 1
        self.going_down.discard(name)
        host = self.boot(name)
        roles.bring_up(host)
        return host

    def end(self) -> None:
        """End all daemons, with what they hold open."""
        for host in self.hosts.values():
            _let_go(host)

    def look(self, name: str) -> None:
        """One round of a node's loop: it sees what the others have."""
        self.hosts[name].consensus.poll()

    def run(self, name: str, function: Callable[..., Any], /, **params: Any) -> Any:
        """Carry an operation out on a node as the job that an operator's call would be."""
        host = self.hosts[name]
        job = host.jobs.begin(function.__name__, "alice")
        token = jobs.current.set(job)
        try:
            result = function(host, **params)
            job.end(result, None)
            return result
        except McvError as error:
            job.end(None, error)
            raise
        finally:
            jobs.current.reset(token)

    def job(self, name: str) -> Job:
        return self.hosts[name].job

    def read(self, name: str = "n1") -> Cluster:
        return self.hosts[name].read()

    def picture(self) -> dict[str, Any]:
        """Everything that a refusal must leave as it was."""
        return {
            name: (
                json.loads(msgspec.json.encode(host.read())),
                dict(self.domains[name].defined),
                dict(self.lvm[name].made),
                {key: dict(made) for key, made in self.directories[name].made.items()},
                sorted(path.name for path in host.settings.drbd_directory.glob("*.res")),
                [entry.operation for entry in host.journal.entries()],
                self.etcd_of[name].unit.trusted,
                self.etcd_of[name].unit.is_there,
                sorted(self.voting.members),
            )
            for name, host in self.hosts.items()
        }

    def _device(self, name: str, path: str) -> FakeNbd | None:
        """A DRBD device of the document, where this node may write to it."""
        for _, disk in self.hosts[name].both()[-1].replicated():
            status = self.drbd[name].status(disk.resource)
            if disk.device == path and status is not None and status.is_primary:
                return FakeNbd(disk.size, self.devices.setdefault(disk.resource, {}), False)
        return None

    def _copy_volume(self, name: str, source: str, to: str) -> None:
        pieces = dict(self.blocks[name].pieces(source))
        self.blocks[name].pieces(to).clear()
        self.blocks[name].pieces(to).update(pieces)

    def _write_volume(self, name: str, path: str) -> None:
        """A guest's next write, to one of a few places in turn."""
        number = next(self._writes)
        place = {PIECE * (8 + number % 4): b"write %d" % number}
        self.blocks[name].pieces(path).update(place)
        self.written.update(place)

    def _count(self, domain: str) -> None:
        uuids = {uuid for door in self.domains.values() for uuid in door.running(domain)}
        for uuid in uuids:
            self._count_one(domain, uuid)

    def _count_one(self, domain: str, uuid: str) -> None:
        where = [name for name, door in self.domains.items() if uuid in door.running(domain)]
        if len(where) > 1:
            self.twice.append(f"{domain} runs on {' and '.join(where)}")

    def _tunnel(self, me: str) -> Callable[..., Any]:
        def target(node: str, member: str, asked: dict[str, str]) -> Granted:
            return streams.target(self.hosts[node], member, asked)

        line = lines.led(me, target, self.down.__contains__)

        @contextlib.contextmanager
        def tunnel(
            path: Path, node: str, asked: dict[str, str], ended: Callable[[], None] = lambda: None
        ) -> Iterator[None]:
            """It leads to the libvirt of the other host, to a volume, or to a guest's line."""
            if asked.get("for") == consoles.PURPOSE:
                with line(path, node, asked, ended):
                    yield
                return
            way = functools.partial(self._volume_of, me, node, asked)
            self.domains[me].ways[str(path)] = self.domains[node]
            self.blocks[me].ways[str(path)] = way
            try:
                yield
            finally:
                del self.domains[me].ways[str(path)]
                del self.blocks[me].ways[str(path)]

        return tunnel

    def _volume_of(self, me: str, node: str, asked: dict[str, str]) -> FakeNbd:
        """What a stream of a disk leads to, as the other node's daemon grants it."""
        try:
            self.spy(me, node, "a stream")
            if node in self.down or me in self.down:
                raise PeerUnreachable(f"{node} does not answer.")
            granted = self._granted(me, node, asked)
        except McvError as error:
            raise CommandFailed(f"NBD: {error.message}") from error
        return self.blocks[node].servers[granted.path].nbd

    def _granted(self, me: str, node: str, asked: dict[str, str]) -> Granted:
        try:
            return streams.target(self.hosts[node], me, asked)
        except SystemExit:
            raise CallLost(f"{node} broke off.") from None

    def _caller(self, me: str) -> Callable[..., Any]:
        def call(
            node: str, operation: str, /, *, timeout: float | None = None, **params: Any
        ) -> Any:
            self.spy(me, node, operation)
            context: dict[str, Any] = {}
            if (with_claim := escort.get()) is not None:
                context["escort"] = with_claim
            if node == me:
                answer = dispatch.perform(self.hosts[me], operation, params, context, me)
                self.answered(me, node, operation)
                return answer
            names.check(params)
            if node not in self.hosts:
                raise NotFound(f"There is no node {node}.", "See: mcv info")
            if node in self.down or me in self.down:
                raise PeerUnreachable(f"{node} does not answer.", self.hosts[me].advice(node))
            if not _accepts(self.hosts[node], me):
                raise NotMember(f"{node} does not accept this node's certificate.")
            epoch = self.hosts[me].read().epoch
            context["epoch"] = [epoch.number, epoch.id]
            # As over the wire: whatever crosses is JSON, and the thread is another.
            sent = json.loads(json.dumps(params))
            answer = json.loads(
                json.dumps(
                    _elsewhere(self.hosts[node], Caller("peer", me), operation, sent, context)
                )
            )
            self.answered(me, node, operation)
            return self.bend(node, operation, answer)

        return call


def _let_go(host: Host) -> None:
    """A process that ends has no file open any more, and no thread."""
    while host.images:
        host.images.popitem()[1].close()


def _accepts(host: Host, node: str) -> bool:
    """Whether a host's door opens for a node: a member, or whoever joins it to a cluster.

    The stages of the stories name no members, so any node may carry the join on.
    """
    return node in host.read().nodes or joining.staged(host) is not None


def _elsewhere(
    host: Host, caller: Caller, operation: str, params: dict[str, Any], context: dict[str, Any]
) -> Any:
    answer: list[Any] = []

    def serve() -> None:
        try:
            answer.append((dispatch.serve(host, caller, operation, params, context), None))
        except McvError as error:
            answer.append((None, _passed_on(error)))
        except Exception:
            logging.exception("%s on %s", operation, host.name)
            answer.append((None, internal_error(operation)))

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    thread.join()
    if not answer:
        raise CallLost(f"{host.name} broke off.")
    result, error = answer[0]
    if error is not None:
        raise error
    return result


def _passed_on(error: McvError) -> McvError:
    """What a third node said of this one would read as the word of the one that was asked."""
    if isinstance(error, NotMember | NotThatNode):
        return Refused(error.message, error.hint, error.problems)
    return error


def settings_of(directory: Path, name: str) -> settings.Settings:
    """The settings of a node; its mcv.conf may tell other addresses."""
    conf = directory / "conf" / f"{name}.conf"
    conf.parent.mkdir(parents=True, exist_ok=True)
    usual = f"10.0.0.{name[1:]}"
    read = settings.load(conf, resolve=lambda _: usual)
    return settings.Settings(
        hostname=name,
        node=name,
        address=read.address,
        drbd_address=read.drbd_address,
        var=directory / "var",
        run=directory / "run" / name,
        drbd_directory=directory / "drbd.d" / name,
        images=directory / "images" / name,
        conf=conf,
    )


def _member_document(directory: Path, names: tuple[str, ...]) -> Cluster:
    base = alone(settings_of(directory, names[0]), f"certificate of {names[0]}")
    nodes = {
        name: Node(
            name=name,
            hostname=name,
            ip_address=f"10.0.0.{name[1:]}",
            drbd_address=f"10.0.0.{name[1:]}",
            certificate=f"certificate of {name}",
        )
        for name in names
    }
    return msgspec.structs.replace(
        base, nodes=nodes, drbd=msgspec.structs.replace(base.drbd, enabled=True)
    )
