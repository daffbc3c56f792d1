"""The witness: a machine that runs etcd and nothing else of mcv's, reached over SSH alone."""

import contextlib
import time
from collections.abc import Iterator

from msgspec import Struct

from mcv.cluster import suitability
from mcv.document import etcd_voters
from mcv.document.availability import Witness
from mcv.document.etcd_voters import Voter
from mcv.document.model import Cluster
from mcv.document.names import problem_with_name
from mcv.drivers.etcd_witness import WitnessFacts, WitnessMachine
from mcv.errors import (
    NotFound,
    PeerUnreachable,
    Refused,
    refuse_all,
)
from mcv.host import DryRun, Host
from mcv.system import ssh
from mcv.system.addresses import canonical

BACK = 30.0  # s that its etcd has to answer again after a restart
PAUSE = 0.3  # s between two looks

ANOTHER = "Take it out first: mcv cluster store etcd --no-witness; then it can be added anew."


class WitnessKey(Struct, frozen=True, kw_only=True):
    """The SSH host key of a witness, and whether this host knows it already."""

    fingerprint: str
    type: str
    known: bool


class Refreshed(Struct, frozen=True, kw_only=True):
    """The witness, and whether it had to be brought anything."""

    witness: str
    changed: bool


def host_key(host: Host, witness: str = "", ip_address: str = "") -> WitnessKey:
    """The SSH host key of a machine that is to be the witness, for a human to compare.

    Without a name it is that of the witness of the document. Raises Refused for a name or an
    address that cannot be a witness's, NotFound where there is none.
    """
    if witness:
        refuse_all(why_not_it(host.read(), witness, ip_address))
        at = canonical(ip_address)
    else:
        at = known(host.read()).ip_address
    key = ssh.host_key(at)
    return WitnessKey(fingerprint=key.fingerprint, type=key.type, known=key.known)


def known(cluster: Cluster) -> Witness:
    """The witness of the document. Raises NotFound."""
    if cluster.witness is None:
        raise NotFound(
            "This cluster has no witness.",
            "Add one with: mcv cluster store etcd --witness NAME --ip-address IP",
        )
    return cluster.witness


def why_not_it(cluster: Cluster, name: str, ip_address: str) -> list[Refused]:
    """What speaks against a witness of this name and address before the machine is asked."""
    problems = [problem_with_name(name, "witness")]
    problems.append(suitability.address_problem(cluster, ip_address))
    if name in cluster.nodes:
        problems.append(Refused(f"{name} is a node of this cluster, and a witness is none."))
    if cluster.witness is not None:
        problems.append(
            Refused(
                f"{cluster.witness.name} is the witness already.",
                ANOTHER,
            )
        )
    return [problem for problem in problems if problem is not None]


@contextlib.contextmanager
def machine_at(
    ip_address: str, password: str | None, host_key: str | None
) -> Iterator[WitnessMachine]:
    """The machine of a witness, over one SSH session as root; nothing of it is kept here."""
    with ssh.connect(ip_address, password, host_key) as remote:
        yield WitnessMachine(remote)


def cluster_id(host: Host) -> str:
    """What the machine of a witness knows its cluster by: the first epoch, which never changes."""
    cluster = host.read()
    return cluster.epochs[0].id if cluster.epochs else cluster.epoch.id


def refresh(
    host: Host, password: str | None = None, host_key: str | None = None, dry_run: bool = False
) -> Refreshed | DryRun:
    """Bring the witness the certificates of all members; its etcd restarts where they differ.

    Precondition: the document lies in etcd, and the other voters are a majority without it.
    Harmless when it is repeated, or cut off at any point.
    """
    host.consensus.require_contact()
    witness = known(host.read())
    host.job.progress(f"looking at {witness.name} over SSH")
    with machine_at(witness.ip_address, password, host_key) as machine:
        cluster = host.read()
        refuse_all(_why_not_refresh(host, cluster, witness, machine.look()))
        if dry_run:
            return DryRun(plan=[f"{witness.name} gets the certificates, and its etcd restarts"])
        return _brought(host, cluster, witness, machine)


def _brought(host: Host, cluster: Cluster, witness: Witness, machine: WitnessMachine) -> Refreshed:
    bundle, digest = etcd_voters.bundle(cluster), etcd_voters.bundle_digest(cluster)
    # Where the document does not say so, etcd there may not have restarted since it had the file.
    has_changed = digest != witness.bundle or machine.bundle() != bundle.strip()
    if has_changed:
        host.job.progress(f"etcd on {witness.name} restarts")
        machine.follow(bundle, cluster.ha.pace)
    _await(host, witness)
    if digest != witness.bundle:
        host.update(
            "witness.set",
            f"{witness.name} has the present certificates",
            name=witness.name,
            ip_address=witness.ip_address,
            certificate=witness.certificate,
            bundle=digest,
        )
    return Refreshed(witness=witness.name, changed=has_changed)


def _why_not_refresh(
    host: Host, cluster: Cluster, witness: Witness, facts: WitnessFacts
) -> list[Refused]:
    problems = []
    if not facts.is_set_up or facts.has_lost_data or facts.of != cluster_id(host):
        problems.append(
            Refused(
                f"{witness.name} does not run this cluster's etcd any more.",
                ANOTHER,
            )
        )
    voters = host.etcd.shown(etcd_voters.voters(cluster))
    others = [voter for voter in voters if voter.name != witness.name]
    silent = [voter.name for voter in others if voter.state not in ("leader", "voter")]
    if not etcd_voters.has_quorum(len(others) - len(silent), len(voters)):
        problems.append(
            Refused(
                f"Without {witness.name}, whose etcd restarts, there is no majority: "
                f"{' and '.join(silent)} would be missing.",
                host.advice(*[name for name in silent if name in cluster.nodes]),
            )
        )
    return problems


def _await(host: Host, witness: Witness) -> None:
    """Wait until its etcd answers. Raises PeerUnreachable."""
    voter = Voter(witness.name, witness.ip_address, witness.certificate)
    until = time.monotonic() + BACK
    while any(shown.state == "unreachable" for shown in host.etcd.shown([voter])):
        if time.monotonic() > until:
            raise PeerUnreachable(
                f"etcd on {witness.name} does not answer after its restart.",
                "Look there: journalctl -u mcv-etcd",
            )
        time.sleep(PAUSE)
