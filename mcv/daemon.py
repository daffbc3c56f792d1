"""Front door of mcvd: fills Host, starts the loops, serves."""

import argparse
import functools
import logging
import os
import signal
import ssl
import sys
import threading
from collections.abc import Sequence

import mcv
from mcv import printable, settings
from mcv.api.calls import Calls
from mcv.api.loops import Loops
from mcv.api.table import TABLE
from mcv.cluster import leaving, members
from mcv.consensus.doors import Doors
from mcv.consensus.etcd import arms
from mcv.consensus.etcd.agreement import EtcdAgreement
from mcv.consensus.etcd.connection import Connection
from mcv.consensus.etcd.door import Door
from mcv.consensus.unanimous.agreement import UnanimousAgreement
from mcv.document import place, startup
from mcv.document.etcd_voters import Voter
from mcv.document.identity import known_uuids
from mcv.document.pools import DEFAULT_LOCATION
from mcv.drbd import handler_file
from mcv.drivers.blocks import Blocks
from mcv.drivers.bridge import Bridges
from mcv.drivers.directories import Directories
from mcv.drivers.drbd import Drbd
from mcv.drivers.etcd_local import LocalEtcd
from mcv.drivers.etcd_unit import EtcdUnit
from mcv.drivers.fence_agents import FenceAgents
from mcv.drivers.fence_doors import FenceDoors
from mcv.drivers.fence_secrets import FenceSecrets
from mcv.drivers.host_devices import HostDevices
from mcv.drivers.libvirt import Hypervisor
from mcv.drivers.local_lease import LocalLease
from mcv.drivers.lvm import Lvm
from mcv.drivers.service_doors import service_doors
from mcv.errors import McvError
from mcv.etcd.gateway import Endpoint, Gateway
from mcv.etcd.keys import ClusterKeys
from mcv.ha.gate import Gate
from mcv.ha.start_env import NodeStartEnv
from mcv.host import Host
from mcv.rpc.etcd_certificates import Certificates
from mcv.rpc.peers import Peers
from mcv.rpc.pki import Keys, load_or_create
from mcv.rpc.server import Server
from mcv.rpc.tls import client_context
from mcv.rpc.tunnel import tunnel
from mcv.storage import image_files
from mcv.system import lines, logs, systemd
from mcv.system.locks import Locks
from mcv.system.observations import Observations, boot_id
from mcv.transaction.jobs import Jobs
from mcv.transaction.journal import Journal
from mcv.vm import streams

log = logging.getLogger("mcvd")


class Daemon:
    """One node's mcvd: its host, its two doors, its loops."""

    def __init__(self, conf: settings.Settings) -> None:
        self.conf = conf
        conf.state.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.identity = load_or_create(conf.node, conf.pki)
        self.calls = Calls(conf)
        self.calls.peers = Peers(self.identity, self.calls.find)
        self.agreement = UnanimousAgreement(
            conf.node,
            startup.opened(conf, self.identity.certificate_pem),
            self.calls.call,
            Keys(self.identity),
            lambda name: members.is_alive(self.host, name),
        )
        self.agreement.contact.key_damage = self.identity.damage()
        self.etcd = Connection(
            conf.node, self.agreement.store.both, self._etcd_context, conf.etcd_port
        )
        self.consensus = Doors(self.agreement, self._majority)
        self.gate = Gate(conf.node, self._arms, conf.run)
        self.calls.host = self.host = self._filled()
        self.server = Server(
            self.calls.handle,
            conf.run / "mcvd.sock",
            target=functools.partial(streams.target, self.host),
        )
        self.host.also_listen = self.server.also_listen
        self.host.listen_only = self.server.listen_only
        self.host.reach = self.calls.reach
        self.loops = Loops(self.host)
        self.consensus.on_commit(self._committed)
        self.agreement.contact.advice = self.calls.peers.advice = self.host.advice

    def _majority(self, id: str) -> EtcdAgreement:
        """This node's part in agreement through the etcd of that id."""
        self.etcd.follow()
        door = Door(self.etcd.etcd, ClusterKeys(id))
        store, keys = self.agreement.store, Keys(self.identity)
        agreement = EtcdAgreement(
            self.conf.node, store, self.calls.call, keys, door, self.etcd.silent
        )
        agreement.reader.on_gap = self._note_gap
        return agreement

    def _note_gap(self, why: str) -> None:
        self.host.observations.gap = why

    def _arms(self) -> NodeStartEnv | None:
        return arms.of(self.conf.node, self.conf.run, self.consensus, self.etcd.etcd)

    def _etcd_context(self, certificate: str) -> ssl.SSLContext:
        return client_context(self.identity, certificate)

    def _reach_voters(self, voters: Sequence[Voter]) -> Gateway:
        """A gateway to voters, in use or not, each known by its certificate alone."""
        known = {voter.name: voter.certificate for voter in voters}
        endpoints = [Endpoint(voter.name, voter.address, self.conf.etcd_port) for voter in voters]
        return Gateway(endpoints, lambda at: self._etcd_context(known[at.name]))

    def _filled(self) -> Host:
        """The host with every door of this node."""
        state = self.conf.state
        observations = Observations(state / "sight.json", boot_id())
        return Host(
            settings=self.conf,
            consensus=self.consensus,
            journal=Journal(state / "journal"),
            jobs=Jobs(self.conf.node, state / "jobs"),
            locks=Locks(self.conf.locks),
            domains=Hypervisor(
                lambda: known_uuids(self.consensus.both()), node=self.conf.node, gate=self.gate
            ),
            drbd=Drbd(gate=self.gate),
            volumes=Lvm(self.conf.notes),
            directories=Directories(),
            blocks=Blocks(),
            bridges=Bridges(),
            devices=HostDevices(),
            etcd=LocalEtcd(
                EtcdUnit(self.conf.etcd),
                self.identity.key,
                (self.conf.etcd_port, self.conf.etcd_peer_port),
                Certificates(self.identity),
                self._reach_voters,
            ),
            lease=LocalLease(
                self.conf.run, self.identity.certificate, self.identity.key, self.conf.etcd_port
            ),
            services=service_doors(self.gate),
            fences=FenceDoors(FenceAgents(), FenceSecrets(self.conf.pki / "fence")),
            keyspace=self.etcd.etcd,
            call=self.calls.call,
            forward=self.calls.forward,
            tunnel=functools.partial(tunnel, reach=self.calls.peers.stream),
            certificate=self.identity.certificate_pem,
            knows=TABLE.__contains__,
            observations=observations,
            advice=observations.advice,
        )

    def _committed(self) -> None:
        """There is another document: it is told, and removed members lose their connections."""
        self._tell_handlers()
        self.etcd.follow()
        document = self.host.read()
        made = document.change
        log.info("generation %d: %s (%s, %s)", document.generation, made.why, made.who, made.node)
        self.server.close_untrusted()
        self.loops.wake()

    def _tell_handlers(self) -> None:
        """Before anything acts by the document; a loop does it again where this fails."""
        try:
            handler_file.write(self.host)
        except McvError as error:
            log.warning("what DRBD's handlers decide by is not written: %s", error)

    def run(self) -> None:
        """Serve until told to stop. Ready means: the unix socket answers."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.loops.stopping.set())
        self._start()
        while not self.loops.stopping.wait(60):
            pass
        self._stop()

    def close_interrupted(self) -> None:
        """Close the records of the jobs that the end of the last daemon cut off."""
        left = self.host.journal.contents()
        entries = {entry.operation for entry in left.entries}
        self.host.jobs.close_interrupted(entries | left.unreadable.keys())

    def _start(self) -> None:
        self._tell_handlers()
        self.close_interrupted()
        self._clean_images()
        lines.clear(self.conf.run)
        threading.Thread(target=self._remove_trials, name="trials", daemon=True).start()
        self._make_default_pool()
        self._make_certificate()
        if self.conf.address and not self.agreement.contact.key_damage:
            trusted = self.calls.trusted
            self.server.start_peers(self.conf.address, self.conf.port, self.identity, trusted)
        self.server.start_operator()
        systemd.ready(f"{self.conf.node} serves")
        log.info("mcvd %s serves as %s", mcv.__version__, self.conf.node)
        self.host.tell("mcvd begins", self.conf.node, f"version {mcv.__version__}")
        threading.Thread(target=self.loops.run, name="loops", daemon=True).start()

    def _make_default_pool(self) -> None:
        """Make its directory; where that fails, looks at the pool say that it is not there."""
        try:
            self.host.directories.make(DEFAULT_LOCATION)
        except OSError as error:
            log.warning("the pool of every node cannot be made: %s", error)

    def _make_certificate(self) -> None:
        """Have the certificate for etcd before a cluster asks for it: a refusal changes nothing.

        Where the document lies in etcd it says which one this node has.
        """
        address, damage = self.conf.address, self.agreement.contact.key_damage
        try:
            if address and not damage and self.host.read().store is None:
                self.host.etcd.certificate(address)
        except McvError as error:
            log.warning("the certificate for etcd cannot be kept: %s", error)

    def _clean_images(self) -> None:
        """Make the directory of images, and delete what jobs left there that were cut off."""
        try:
            image_files.make_directory(self.host)
            for name in image_files.clean(self.host):
                log.info("%s was left by a job that was cut off; it is deleted", name)
        except McvError as error:
            log.error("the directory of images: %s", error)

    def _remove_trials(self) -> None:
        """Undefine trials of a daemon that was killed; what stays is seen by the check."""
        try:
            for name in self.host.domains.trials.remove_left():
                log.info("%s was left by a trial that was cut off; it is undefined", name)
        except McvError as error:
            log.warning("left trials: %s", error)

    def _stop(self) -> None:
        if self._host_is_going_down():
            has_left = leaving.leave_in_order(self.host)
            log.info("this host goes down%s", ", offline in the document" if has_left else "")
            self.host.tell("host goes down", self.conf.node, "offline" if has_left else "online")
        try:
            self.host.observations.save(at_once=True)
        except McvError as error:
            log.warning("what was seen of the others is not kept: %s", error)
        log.info("mcvd stops")
        self.host.tell("mcvd stops", self.conf.node)
        self.host.jobs.events.flush()
        self.server.stop()

    def _host_is_going_down(self) -> bool:
        try:
            return self.host.is_going_down()
        except McvError as error:
            log.warning("whether this host goes down is not known: %s", error)
            return False


def main() -> None:
    """The program mcvd: runs in the foreground, logs to stderr, ends on SIGTERM."""
    parser = argparse.ArgumentParser(prog="mcvd", description="The daemon of mcv.")
    parser.add_argument("--version", action="version", version=f"mcvd {mcv.__version__}")
    parser.add_argument("--debug", action="store_true", help="log every command that is run")
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("mcvd: only root may run it.")
    logs.begin(logging.DEBUG if arguments.debug else logging.INFO)
    logging.getLogger("paramiko").setLevel(logging.WARNING)
    try:
        conf = place.located(settings.load())
    except McvError as error:
        # Nothing but a human mends this: systemd starts a daemon that ended so no more.
        print(_said(error), file=sys.stderr)
        sys.exit(error.exit_code)
    try:
        Daemon(conf).run()
    except McvError as error:
        sys.exit(_said(error))


def _said(error: McvError) -> str:
    return printable.line(f"mcvd: {error.message} {error.hint}".rstrip())


if __name__ == "__main__":
    main()
