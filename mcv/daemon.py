"""Front door of mcvd: fills Host, starts the loops, serves."""

import argparse
import functools
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import mcv
from mcv import settings
from mcv.api import dispatch
from mcv.cluster import join, leaving, members
from mcv.consensus.unanimous.agreement import UnanimousAgreement
from mcv.document.initial import alone
from mcv.document.model import Node
from mcv.document.store import Store
from mcv.drbd import enable, roles, verification_results
from mcv.drivers.bridge import Bridges
from mcv.drivers.drbd import Drbd
from mcv.drivers.libvirt import Hypervisor
from mcv.drivers.lvm import Lvm
from mcv.errors import CallLost, McvError, NotFound, OutcomeOpen, PeerUnreachable, Refused
from mcv.host import Host
from mcv.recovery import journal_recovery
from mcv.rpc import pki
from mcv.rpc.peers import Address, Peers
from mcv.rpc.server import Server
from mcv.rpc.tunnel import tunnel
from mcv.system import files, systemd
from mcv.system.locks import Locks
from mcv.system.observations import Observations, boot_id
from mcv.transaction.executor import escort
from mcv.transaction.jobs import Jobs
from mcv.transaction.journal import Journal
from mcv.vm import migration_tunnel, power, stray_copies

log = logging.getLogger("mcvd")

LOOK = 3.0  # seconds between two looks at the others
TEND = 2.0  # seconds between two looks at this node's own domains
ASK = 3.0  # seconds that a node has to say that it is there


class Daemon:
    """One node's mcvd: its host, its two doors, its loops."""

    def __init__(self, conf: settings.Settings) -> None:
        self.conf = conf
        conf.state.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.identity = _identity(conf)
        store = Store(conf.state, conf.history)
        if not store.exists():
            store.begin(alone(conf, self.identity.certificate_pem))
        _require_whole(conf, store)
        _require_same_name(conf, store)
        self.peers = Peers(self.identity, self.find)
        self.consensus = UnanimousAgreement(
            conf.node, store, self.call, lambda name: members.is_alive(self.host, name)
        )
        self.consensus.on_commit(self.committed)
        self.host = Host(
            settings=conf,
            consensus=self.consensus,
            journal=Journal(conf.state / "journal"),
            jobs=Jobs(conf.node, conf.state / "jobs"),
            locks=Locks(conf.locks),
            domains=Hypervisor(),
            drbd=Drbd(),
            volumes=Lvm(),
            bridges=Bridges(),
            call=self.call,
            forward=self.forward,
            tunnel=functools.partial(tunnel, reach=self.peers.stream),
            certificate=self.identity.certificate_pem,
            observations=Observations(conf.state / "sight.json", boot_id()),
        )
        self.server = Server(
            self.handle,
            conf.run / "mcvd.sock",
            target=functools.partial(migration_tunnel.target, self.host),
        )
        self._stop = threading.Event()
        self._look = threading.Event()
        self._aside_at = ""
        self._moved: dict[str, str] = {}

    # Calls that come, and calls that go

    def handle(
        self, caller: Any, operation: str, params: dict[str, Any], context: dict[str, Any]
    ) -> Any:
        if caller.kind == "peer":
            self.host.observations.hear(caller.name)
            self._learn_address(caller.name, context.get("address"))
        return dispatch.serve(self.host, caller, operation, params, context)

    def _learn_address(self, node: str, address: Any) -> None:
        """Where a member says that it is: its key is checked at every connection, so that a
        host that moved is found before the document knows."""
        member = self.host.read().nodes.get(node)
        if member is not None and isinstance(address, str) and address != member.ip_address:
            self._moved[node] = address
        else:
            self._moved.pop(node, None)

    def call(
        self, node: str, operation: str, /, *, timeout: float | None = None, **params: Any
    ) -> Any:
        """Call an operation on a node, this one included, in the epoch and with the claim
        that this thread has."""
        context = self._context()
        if node == self.conf.node:
            return dispatch.perform(self.host, operation, params, context)
        limit = timeout if timeout is not None else dispatch.row(operation).timeout
        answer = self.peers.call(node, operation, params, context, limit)
        self.host.observations.hear(node)
        return answer

    def forward(self, node: str, operation: str, params: dict[str, Any], who: str) -> Any:
        """Hand an operator's call on to the node that carries it out."""
        context = {**self._context(), "who": who}
        limit = dispatch.row(operation).timeout
        try:
            self.call(node, "config.poll", timeout=ASK)
        except (PeerUnreachable, CallLost) as error:
            raise PeerUnreachable(
                f"{node}, which has to carry this out, does not answer, so nothing was changed.",
                f"See: mcv info; if it is dead: mcv node offline {node} --confirm-dead",
            ) from error
        try:
            return self.peers.call(node, operation, params, context, limit)
        except CallLost as error:
            raise OutcomeOpen(
                f"{node} did not say what became of it: {error.message}", "See: mcv job list"
            ) from error

    def _context(self) -> dict[str, Any]:
        epoch = self.host.read().epoch
        context: dict[str, Any] = {
            "epoch": [epoch.number, epoch.id],
            "address": self.conf.address,
        }
        if (with_claim := escort.get()) is not None:
            context["escort"] = with_claim
        return context

    def find(self, node: str) -> Address:
        """Where a node answers: a member, one that is joining, or one that was just removed."""
        found: Node | None = self.host.read().nodes.get(node)
        found = found or self.host.joining.get(node)
        if found is None:
            for cluster in self.host.consensus.generations()[:20]:
                if node in cluster.nodes:
                    found = cluster.nodes[node]
                    break
        if found is None:
            raise NotFound(f"There is no node {node}.", "See: mcv info")
        address = self._moved.get(node, found.ip_address)
        return Address(address, self.conf.port, found.certificate)

    def trusted(self) -> Mapping[str, str]:
        """Whose key opens the cluster's door: the members', and a staged join's."""
        found = {name: node.certificate for name, node in self.host.read().nodes.items()}
        stage = join.staged(self.host)
        if stage is not None:
            found.update({member.name: member.certificate for member in stage.members})
        found.pop(self.conf.node, None)
        return found

    def committed(self) -> None:
        """The document is another one: who is no member any more is hung up on."""
        self.server.close_untrusted()
        self._look.set()

    # The loops

    def look_after_cluster(self) -> None:
        """One round: see what the others have, come back, settle what was cut off."""
        self.consensus.poll()
        if self._aside_at != self.consensus.committed()[1] and self.consensus.heard:
            stray_copies.step_aside(self.host)
            self._aside_at = self.consensus.committed()[1]
        if self.consensus.in_contact:
            members.addresses(self.host)
            verification_results.settle(self.host)
            enable.adjust(self.host)
        elif not self.host.is_leaving:
            members.come_back(self.host)
        self.host.observations.save()

    def look_after_domains(self) -> None:
        power.reconcile(self.host)

    def look_after_journal(self) -> None:
        """One round: finish or undo what was cut off; it may take long, so it has its thread."""
        journal_recovery.resume_all(self.host)

    def loop(self, every: float, wake: threading.Event, rounds: Callable[[], None]) -> None:
        while not self._stop.is_set():
            began = time.monotonic()
            try:
                rounds()
            except McvError as error:
                log.warning("%s: %s", rounds.__name__, error)
            except Exception:
                log.exception("%s", rounds.__name__)
            wake.wait(max(0.2, every - (time.monotonic() - began)))
            wake.clear()

    # From start to stop

    def run(self) -> None:
        """Serve until told to stop. Ready means: the unix socket answers."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._stop.set())
        unfinished = {entry.operation for entry in self.host.journal.entries()}
        self.host.jobs.close_interrupted(unfinished)
        if self.conf.address:
            self.server.start_peers(self.conf.address, self.conf.port, self.identity, self.trusted)
        self.server.start_operator()
        systemd.ready(f"{self.conf.node} serves")
        log.info("mcvd %s serves as %s", mcv.__version__, self.conf.node)
        threading.Thread(target=self._begin, name="begin", daemon=True).start()
        while not self._stop.wait(60):
            pass
        if leaving.host_is_stopping():
            gone = leaving.leave_in_order(self.host)
            log.info("this host goes down%s", ", offline in the document" if gone else "")
        self.host.observations.save(at_once=True)
        log.info("mcvd stops")
        self.server.stop()

    def _begin(self) -> None:
        """Bring resources up first, then look round for ever."""
        try:
            roles.bring_up(self.host)
        except McvError as error:
            log.error("bringing DRBD up: %s", error)
        for every, rounds in ((TEND, self.look_after_domains), (LOOK, self.look_after_journal)):
            arguments = (every, threading.Event(), rounds)
            threading.Thread(target=self.loop, args=arguments, daemon=True).start()
        self.loop(LOOK, self._look, self.look_after_cluster)


def _require_whole(conf: settings.Settings, store: Store) -> None:
    """Begin with a whole document, or not at all.

    A torn or edited one is put aside for the newest good generation: the other members hold
    what came after it, and until all of them have answered nothing is begun. Alone, there
    is nobody to ask, and the operator decides.
    """
    fault = store.fault()
    if fault is None:
        return
    good = store.newest_good()
    if good is not None and set(good[0].nodes) - {conf.node}:
        log.error("%s The newest good generation is taken; the others have the rest.", fault)
        store.fall_back(good[0])
        return
    offer = f"The newest good generation: cp {good[1]} {store.path}" if good else ""
    raise Refused(fault.message, fault.hint or offer)


def _require_same_name(conf: settings.Settings, store: Store) -> None:
    """A member keeps its name: the document knows it by that alone."""
    nodes = store.read().nodes
    if conf.node not in nodes and len(nodes) == 1:
        raise Refused(
            f"This host is {next(iter(nodes))} in its document, and {conf.node} now.",
            f"Give it its name back (node in /etc/mcv/mcv.conf), or remove {conf.state}.",
        )


def _identity(conf: settings.Settings) -> pki.Identity:
    if files.read_or_none(conf.pki / "key.pem"):
        return pki.load(conf.node, conf.pki)
    return pki.create(conf.node, conf.pki)


def main() -> None:
    """The program mcvd: runs in the foreground, logs to stderr, ends on SIGTERM."""
    parser = argparse.ArgumentParser(prog="mcvd", description="The daemon of mcv.")
    parser.add_argument("--version", action="version", version=f"mcvd {mcv.__version__}")
    parser.add_argument("--debug", action="store_true", help="log every command that is run")
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("mcvd: only root may run it.")
    logging.basicConfig(
        level=logging.DEBUG if arguments.debug else logging.INFO,
        format="%(levelname)s %(name)s: %(message)s",
    )
    logging.getLogger("paramiko").setLevel(logging.WARNING)
    try:
        Daemon(settings.load()).run()
    except McvError as error:
        sys.exit(f"mcvd: {error.message} {error.hint}".rstrip())


if __name__ == "__main__":
    main()
