"""What differs from what should be: pure comparisons of the document with what nodes have."""

from collections.abc import Iterator

import mcv
from mcv.check import (
    armed,
    artifacts,
    fencing,
    hook,
    host_drbd,
    host_lvm,
    images,
    networks,
    places,
    pools,
    replicas,
    services,
    ties,
    volumes,
)
from mcv.check.etcd import judge as judge_etcd
from mcv.check.finding import ClusterSnapshot, Finding, in_order
from mcv.check.inventory import Inventory
from mcv.document.claim import Claim
from mcv.document.generation import ChangeMade, EpochNow
from mcv.document.lineage import relation
from mcv.document.model import Cluster, Node
from mcv.drivers.libvirt_guests import GuestsSettings
from mcv.errors import CallLost, NotMember, NotThatNode, PeerUnreachable
from mcv.rules.finding import Severity

CLOCK = 2.0  # seconds that clocks may differ

Findings = Iterator[Finding]


def judge(scene: ClusterSnapshot) -> list[Finding]:
    """Everything that is not as it should be, the worst first."""
    return in_order(
        [
            *_members(scene),
            *_claims(scene),
            *judge_etcd(scene),
            *armed.judge(scene),
            *fencing.judge(scene),
            *places.judge(scene),
            *services.judge(scene),
            *artifacts.judge(scene),
            *ties.judge(scene),
            *volumes.judge(scene),
            *replicas.judge(scene),
            *host_lvm.judge(scene),
            *pools.judge(scene),
            *images.judge(scene),
            *networks.judge(scene),
        ]
    )


def is_well(found: list[Finding]) -> bool:
    return not any(finding.severity is Severity.ERROR for finding in found)


def _members(scene: ClusterSnapshot) -> Findings:
    for name, node in sorted(scene.cluster.nodes.items()):
        if node.status == "offline":
            yield _offline(node)
        if name not in scene.seen:
            yield from _silent(scene, node)
            continue
        inventory = scene.seen[name]
        yield from _document(scene, inventory)
        yield from _contact(scene, inventory)
        yield from _itself(scene, node, inventory)
        yield from hook.judge(inventory)
        yield from _unfinished(scene, inventory)


def _offline(node: Node) -> Finding:
    online, restore = f"mcv node online {node.name}", f"mcv node restore {node.name}"
    back = restore if node.draining else online
    helps = (
        f"When its maintenance is over: {back}"
        if node.maintenance
        else "It comes back by itself when mcvd runs there."
    )
    return Finding(
        severity=Severity.NOTE,
        node=node.name,
        subject=node.name,
        message=f"{node.name} is declared offline.",
        hint=helps,
    )


def _silent(scene: ClusterSnapshot, node: Node) -> Findings:
    """A node whose inventory did not arrive: an offline node may be away."""
    error = scene.silent[node.name]
    if isinstance(error, NotThatNode):
        yield Finding(
            severity=Severity.ERROR if node.status == "online" else Severity.WARNING,
            node=node.name,
            subject="certificate",
            message=f"{error.message} The document has another certificate.",
            hint="Is its address used twice? If the host was installed anew: "
            f"mcv node offline {node.name} --confirm-dead, "
            f"mcv cluster remove-node --node {node.name} --force, mcv cluster add-node",
        )
    elif node.status == "offline":
        return
    elif isinstance(error, NotMember):
        yield Finding(
            severity=Severity.ERROR,
            node=node.name,
            subject="certificate",
            message=error.message,
            hint=f"If {scene.me} was removed: mcv cluster leave, on {scene.me}",
        )
    else:
        is_silent = isinstance(error, PeerUnreachable | CallLost)
        yield Finding(
            severity=Severity.ERROR,
            node=node.name,
            subject=node.name,
            message="Unreachable: " * is_silent + error.message,
            hint=error.hint or f"Is mcvd there? On {node.name}: systemctl status mcvd",
        )


def _document(scene: ClusterSnapshot, inventory: Inventory) -> Findings:
    def differs(message: str, hint: str, error: bool = True) -> Finding:
        return Finding(
            severity=Severity.ERROR if error else Severity.WARNING,
            node=inventory.node,
            subject="document",
            message=message,
            hint=hint,
        )

    online = scene.is_online(inventory.node)
    here = f"generation {scene.cluster.generation} of epoch {scene.cluster.epoch.number}"
    there = f"generation {inventory.generation} of epoch {inventory.epoch}"
    how = standing(scene, inventory)
    if how == "diverged":
        yield differs(
            f"Diverged: {inventory.node} holds another {there} than {scene.me} ({here}). "
            f"{scene.differences.get(inventory.node, '')}".rstrip(),
            "End it, after it has shown what would be lost: mcv cluster sync --from NODE",
        )
    elif how == "older":
        yield differs(
            f"{inventory.node} holds an older document, {there}; {scene.me} holds {here}.",
            f"It is brought up to date when they are in contact. On {inventory.node}: mcv info",
            error=online,
        )
    elif how == "newer":
        yield differs(
            f"{inventory.node} holds a newer document, {there}; {scene.me} holds {here}.",
            f"{scene.me} takes it when they are in contact: mcv info",
        )
    if inventory.proposal is not None:
        yield differs(
            f"A change is not committed yet on {inventory.node}: {inventory.proposal}.",
            "It is committed by itself when all online members answer: mcv info",
            error=False,
        )


def _contact(scene: ClusterSnapshot, inventory: Inventory) -> Findings:
    diverged = standing(scene, inventory) == "diverged"
    if scene.is_online(inventory.node) and not inventory.in_contact and not diverged:
        yield Finding(
            severity=Severity.ERROR,
            node=inventory.node,
            subject=inventory.node,
            message=f"{inventory.node} has not heard from everyone since its mcvd started: "
            "it starts no VM until it has.",
            hint=f"Start the others, or declare them dead. On {inventory.node}: mcv info",
        )


def standing(scene: ClusterSnapshot, inventory: Inventory) -> str:
    """How a node's document stands to this node's, told by their lineage."""
    other = Cluster(
        name="",
        epoch=EpochNow(number=inventory.epoch, id=inventory.epoch_id),
        generation=inventory.generation,
        parent="",
        change=ChangeMade(id="", who="", when="", why="", node=""),
        epochs=tuple(inventory.epochs),
    )
    return relation(scene.cluster, scene.hash, other, inventory.hash)


def _itself(scene: ClusterSnapshot, node: Node, inventory: Inventory) -> Findings:
    if inventory.certificate.strip() != node.certificate.strip():
        yield Finding(
            severity=Severity.ERROR,
            node=node.name,
            subject="certificate",
            message=f"{node.name} uses another certificate than the document has.",
            hint=f"Put {inventory.state}/pki back from a backup, or take it "
            f"out and join it anew: mcv cluster remove-node --node {node.name}",
        )
    ahead = clock_ahead(inventory, *scene.asked[node.name]) if node.name in scene.asked else 0.0
    if abs(ahead) > CLOCK:
        way = "ahead of" if ahead > 0 else "behind"
        yield Finding(
            severity=Severity.WARNING,
            node=node.name,
            subject="clock",
            message=f"The clock of {node.name} is {abs(ahead):.0f} s {way} that of {scene.me}.",
            hint=f"On {node.name}: timedatectl, and a time service such as chrony",
        )
    if inventory.version != mcv.__version__:
        yield Finding(
            severity=Severity.WARNING,
            node=node.name,
            subject="version",
            message=f"{node.name} runs mcv {inventory.version}, {scene.me} runs {mcv.__version__}.",
            hint="Install the same version on both.",
        )
    if scene.cluster.drbd.enabled:
        yield from host_drbd.judge(scene.cluster, inventory)
    yield from _host(inventory)
    name, there = node.name, f"On {node.name}"

    def error(subject: str, message: str, hint: str) -> Finding:
        return Finding(
            severity=Severity.ERROR, node=name, subject=subject, message=message, hint=hint
        )

    for tool, package in sorted(inventory.missing.items()):
        yield error(
            tool, f"{name} does not have the tool {tool}.", f"{there}: apt install {package}"
        )
    if inventory.full:
        yield error(name, f"{inventory.full} on {name}, so nothing can be changed.", "See: df -h")
    where = f"{there}: systemctl status libvirtd mcvd, and: journalctl -u mcvd"
    for tool, said in sorted(inventory.trouble.items()):
        yield error(tool, f"{tool} cannot be read on {name}: {said}", where)


def _host(inventory: Inventory) -> Findings:
    """What the host's own settings would do to guests, and to what mcv has to tell."""
    node, guests = inventory.node, inventory.guests or GuestsSettings()
    if guests.on_shutdown == "suspend":
        yield Finding(
            severity=Severity.WARNING,
            node=node,
            subject="libvirt-guests",
            message=f"libvirt-guests on {node} suspends guests when the host shuts down: a guest "
            "that did not end before then keeps a saved state, which may be old when it is used.",
            hint=f"On {node}: ON_SHUTDOWN=shutdown in /etc/default/libvirt-guests",
        )
    if guests.on_boot == "start":
        yield Finding(
            severity=Severity.WARNING,
            node=node,
            subject="libvirt-guests",
            message=f"libvirt-guests on {node} starts guests when the host boots, whoever owns "
            "them then; mcvd starts what ran by itself.",
            hint=f"On {node}: ON_BOOT=ignore in /etc/default/libvirt-guests",
        )
    if not inventory.mails:
        yield Finding(
            severity=Severity.NOTE,
            node=node,
            subject="mail",
            message=f"There is no mail program on {node}: nobody is mailed a verification that "
            "fails there. The result stands in the document: mcv list, mcv info.",
            hint=f"On {node}: apt install msmtp-mta, or another package with a sendmail",
        )


def clock_ahead(inventory: Inventory, asked: float, answered: float) -> float:
    """How many seconds a clock is ahead, at the very least; negative where it is behind.

    It read `began` after it was asked and `ended` before it had answered, so that an
    answer that takes long makes no clock look wrong.
    """
    least, most = inventory.ended - answered, inventory.began - asked
    return least if least > 0 else min(most, 0.0)


def _unfinished(scene: ClusterSnapshot, inventory: Inventory) -> Findings:
    for left in inventory.unfinished:
        why = f" ({left.trouble})" if left.trouble else ""
        yield Finding(
            severity=Severity.WARNING,
            node=inventory.node,
            subject=left.subject or left.operation,
            message=f"{left.title} is unfinished on {inventory.node}{why}.",
            hint=f"mcv repair; then: mcv job wait {left.operation}",
        )


def _claims(scene: ClusterSnapshot) -> Findings:
    """Claims whose node is offline, or no member: nobody carries them out."""
    for subject in scene.cluster.subjects():
        claim = scene.cluster.claim_of(subject)
        helps = "mcv repair" if subject.kind == "node" else f"mcv locks clear {subject.name}"
        if claim is not None and not scene.is_online(claim.node):
            yield _claim_left(subject.name, claim, helps)


def _claim_left(name: str, claim: Claim, helps: str) -> Finding:
    return Finding(
        severity=Severity.WARNING,
        node=claim.node,
        subject=name,
        message=f"{name} is claimed by {claim.why}, which {claim.node} was to carry out; "
        "it is not online.",
        hint=helps,
    )
