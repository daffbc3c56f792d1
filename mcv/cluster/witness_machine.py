"""A machine that becomes the witness, or is none any more: what is done there over SSH."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from mcv.cluster.witness import cluster_id, machine_at
from mcv.document.etcd_voters import Terms, Voter
from mcv.drivers.etcd_witness import WitnessFacts, WitnessMachine
from mcv.errors import CommandFailed, Failed, McvError, NeedsPassword, Refused, RepairNeeded
from mcv.etcd.config import Configuration, State, url
from mcv.host import Host
from mcv.rpc.pki import key_and_certificate

BY_HAND = "systemctl disable --now mcv-etcd; rm -r /var/lib/mcv/etcd; systemctl unmask etcd"


@dataclass(frozen=True)
class Newcomer:
    """A machine that is about to become the witness, and what it is given."""

    name: str
    address: str
    key: str
    certificate: str
    machine: WitnessMachine

    @property
    def voter(self) -> Voter:
        return Voter(self.name, self.address, self.certificate)

    def plan(self) -> list[str]:
        """What is done there, for who is asked."""
        return [
            f"{self.name} ({self.address}) etcd is set up over SSH as mcv-etcd.service; Debian's "
            "own etcd.service is stopped and masked there"
        ]

    def problems(self, host: Host) -> list[Refused]:
        """Why this machine cannot be the witness, by its own words; all at once."""
        facts = self.machine.look()
        return [
            Refused(f"{self.name} cannot be the witness: {why}.", help_)
            for why, help_ in _unfit(facts, self.address, cluster_id(host))
        ]

    @contextlib.contextmanager
    def set_up_there(self, host: Host, terms: Terms) -> Iterator[None]:
        """Start etcd there beside others that begin with it; see `at_hand`."""
        with self.at_hand(host, terms, "new"):
            host.begin_there[self.name]()
            yield

    @contextlib.contextmanager
    def at_hand(self, host: Host, terms: Terms, state: State) -> Iterator[None]:
        """While this lasts a step can begin etcd there; it goes again where that is undone.

        `terms` name all voters with their addresses, the witness among them.
        """
        host.begin_there[self.name] = lambda: self._begin(host, terms, state)
        try:
            yield
        except RepairNeeded:
            raise
        except McvError:
            self._discard(host)
            raise
        finally:
            host.begin_there.pop(self.name, None)

    def _begin(self, host: Host, terms: Terms, state: State) -> None:
        peer_port = host.settings.etcd_peer_port
        configuration = Configuration(
            name=self.name,
            address=self.address,
            port=host.settings.etcd_port,
            peer_port=peer_port,
            cluster=terms.cluster,
            members={each.name: url(each.address, peer_port) for each in terms.voters},
            state=state,
            directory=self.machine.directory,
            key=self.machine.key,
            pace=terms.pace,
        )
        files = {
            "key.pem": self.key,
            "certificate.pem": self.certificate,
            "bundle.pem": terms.bundle,
        }
        host.job.progress(f"setting etcd up on {self.name} over SSH")
        try:
            self.machine.set_up(configuration, files, host.etcd.unit.text, cluster_id(host))
        except CommandFailed as error:
            raise Failed(f"etcd on {self.name}: {error.message}", error.hint) from error

    def _discard(self, host: Host) -> None:
        try:
            self.machine.discard()
        except CommandFailed as error:
            host.job.progress(f"{self.name} keeps its etcd: {error.message} There: {BY_HAND}")


def newcomer(name: str, ip_address: str, machine: WitnessMachine) -> Newcomer:
    """A new witness with a key of its own, which is kept on its machine alone."""
    key, certificate = key_and_certificate(name, ip_address)
    return Newcomer(name, ip_address, key, certificate, machine)


def _unfit(facts: WitnessFacts, address: str, cluster: str) -> Iterator[tuple[str, str]]:
    if not facts.systemd:
        yield "systemd does not run there", "A Debian host is meant."
    if not facts.version:
        yield "it has no etcd", "Install it there: apt install etcd-server"
    elif facts.version.split(".")[:2] < ["3", "4"]:
        yield f"its etcd is {facts.version}, and 3.4 is needed", ""
    if facts.mcvd in ("active", "activating"):
        yield (
            "mcvd runs there, so it is a node",
            "A witness is a machine besides the nodes; for a third node: mcv cluster add-node",
        )
    if address not in facts.addresses:
        shown = ", ".join(facts.addresses) or "none"
        yield f"it has not the address {address} itself ({shown})", "etcd listens on it there."
    if facts.of and facts.of != cluster:
        yield (
            "it is, or was, the witness of another cluster",
            f"If nothing of that is needed any more, there: {BY_HAND}",
        )


@contextlib.contextmanager
def told_to_end(
    host: Host, password: str | None, host_key: str | None
) -> Iterator["Leaving | None"]:
    """The witness that is about to be none any more; None where there is none.

    One that cannot be reached is left as it is: that is said, and holds nothing up.
    """
    witness = host.read().witness
    if witness is None:
        yield None
        return
    with contextlib.ExitStack() as session:
        try:
            opened = machine_at(witness.ip_address, password, host_key)
            machine = session.enter_context(opened)
        except (Refused, NeedsPassword) as error:
            yield Leaving(witness.name, None, f"{error.message} {error.hint}".strip())
            return
        yield Leaving(witness.name, machine)


@dataclass(frozen=True)
class Leaving:
    """A witness that is taken out; `why` says why its machine is not reached, where it is not."""

    name: str
    machine: WitnessMachine | None
    why: str = ""

    def plan(self) -> list[str]:
        """What becomes of its machine, for who is asked."""
        if self.machine is None:
            return [f"{self.name} keeps its etcd, since it is not reached over SSH: {self.why}"]
        return [f"{self.name} etcd is stopped there and deleted, over SSH"]

    def end(self, host: Host) -> str:
        """Delete its etcd; what is left to do there by hand, "" where nothing is."""
        why = self.why
        if self.machine is not None:
            try:
                self.machine.discard()
                return ""
            except CommandFailed as error:
                why = error.message
        left = f"{self.name} keeps its etcd, which nobody asks any more ({why.rstrip('.')})."
        host.job.progress(left)
        return f"{left} There: {BY_HAND}"
