"""mcv ha arm on two nodes without a witness: fence devices alone are armed, and no lease.

Nobody can count to a majority there: a node counts as dead once its power was seen to be off, or
an operator says so.
"""

from msgspec import Struct

from mcv.check import fence_seen
from mcv.cluster import fence_power
from mcv.cluster.addresses_judge import why_members_claimed
from mcv.cluster.fence_power import PlugRow
from mcv.document.ha_changes import has_tested_level
from mcv.document.model import Cluster
from mcv.document.subject import Subject
from mcv.errors import McvError, Refused, refuse_all
from mcv.host import DryRun, Host, Prepared
from mcv.system.answers import ask_typed
from mcv.transaction.plan import Item, Step, change, on, together

LOOK = 3.0  # s that a node has to look at itself


class PairLook(Struct, frozen=True, kw_only=True):
    """How a node reaches its fence devices: see FenceSeen."""

    on_link: list[str]


class ArmedPair(Struct, frozen=True, kw_only=True):
    """Two nodes are armed by their fence devices alone; `warnings` are in words."""

    armed: bool = True
    pace: int
    wait: None = None
    marked: list[str] = []
    foreign: dict[str, list[str]] = {}
    warnings: list[str]


def is_for(cluster: Cluster) -> bool:
    """Whether arming is this: two members that agree unanimously."""
    return cluster.store is None and len(cluster.nodes) == 2


def arm(host: Host, pace: int, dry_run: bool = False) -> ArmedPair | DryRun:
    """Arm two nodes: each may switch the other off when it is silent.

    Refused with everything that stands in the way: both have to be there, and each needs a level
    of plugs that were all tested and answer now. What can be seen of how they are wired, or cannot,
    is told as warnings.
    """
    host.consensus.require_contact()

    def prepare() -> Prepared[ArmedPair]:
        cluster = host.read()
        warnings = _looked(host, cluster)
        plan = arm_plan(cluster, pace)

        def preview(plan: list[str]) -> DryRun:
            return DryRun(plan=[*warnings, *plan])

        return Prepared(plan, ArmedPair(pace=pace, warnings=warnings), preview=preview)

    subjects = [Subject.node(name) for name in sorted(host.read().nodes)]
    return host.operate(subjects, "arm two nodes", prepare, dry_run)


def arm_plan(cluster: Cluster, pace: int) -> list[Item]:
    """The change that arms commits; DRBD looks for its peer more often from then on."""
    repaced = [Step(change("ha.set", pace=pace))] if pace != cluster.ha.pace else []
    return [
        *repaced,
        Step(change("ha.arm"), commits=True),
        together(
            Step(on(name, "ha.await_adjusted", node=name), may_fail=True)
            for name in sorted(cluster.nodes)
        ),
    ]


def _looked(host: Host, cluster: Cluster) -> list[str]:
    """What is worth a warning; Refused with everything that stands in the way."""
    problems = [
        Refused(
            f"{name} is offline.",
            f"Bring it back with: mcv node online {name}; or take it out: mcv cluster "
            f"remove-node --node {name}",
        )
        for name in sorted(set(cluster.nodes) - set(cluster.online))
    ]
    if cluster.schema < 6:
        problems.append(
            Refused(
                "The document cannot hold this yet: a member has an older mcv.",
                "Install this mcv on every node; the others tell which: mcv info",
            )
        )
    answers = ask_typed(host.call, cluster.online, "ha.look_pair", LOOK, PairLook)
    for name in sorted(cluster.nodes):
        problems += _why_not(cluster, name, fence_power.status(host, name))
    warnings = [line for name in sorted(cluster.nodes) for line in _of_power(cluster, name)]
    for name, answer in sorted(answers.items()):
        if isinstance(answer, McvError):
            problems.append(Refused(f"{name} is needed: {answer.message}", answer.hint))
        else:
            warnings += _of_ways(cluster, name, answer)
    refuse_all(problems + why_members_claimed(cluster, host.job.id))
    return warnings


def _why_not(cluster: Cluster, name: str, rows: list[PlugRow]) -> list[Refused]:
    """What forbids to rest on a node's plugs, asked now by the other node."""
    if not rows:
        hint = f"mcv fence set {name} --level 1 DEVICE[:PORT]"
        return [Refused(f"{name} has no fence device, and nothing else proves it dead.", hint)]
    if not has_tested_level(cluster, name):
        hint = f"mcv evacuate {name}, then: mcv fence test {name} --off"
        return [Refused(f"No level of {name} has tested plugs alone.", hint)]
    levels = cluster.node(name).levels
    tested = {number for number, level in enumerate(levels, 1) if all(p.tested for p in level)}
    silent = {row.level: row for row in rows if not row.ok}
    if tested - set(silent):
        return []
    why = silent[min(tested)].message
    return [Refused(f"No tested level of {name} answers: {why}.", f"mcv fence status {name}")]


def _of_power(cluster: Cluster, name: str) -> list[str]:
    """A node whose devices may all be dead together with its own power."""
    devices = [{plug.device for plug in level} for level in cluster.node(name).levels]
    if any(not one & other for one in devices for other in devices if one is not other):
        return []
    other = next(each for each in cluster.nodes if each != name)
    only = " and ".join(sorted(set().union(*devices))) or "nothing"
    return [
        f"{name} is switched off by {only} alone. Whether that has power when {name} has none "
        f"cannot be seen from here: a BMC on the host's own power is silent then, and the guests "
        f"of {other} wait with those of {name} for your word. Test it with the cord out, or add "
        f"another device: mcv fence set {name} --level {len(devices) + 1} DEVICE[:PORT]"
    ]


def _of_ways(cluster: Cluster, name: str, told: PairLook) -> list[str]:
    """A node that reaches all devices of the other by the address that it has in the cluster."""
    other = next(each for each in cluster.nodes if each != name)
    devices = {plug.device for level in cluster.node(other).levels for plug in level}
    if not devices or not devices <= set(told.on_link):
        return []
    return [
        f"{name} reaches {' and '.join(sorted(devices))}, which switches {other} off, by the "
        f"interface of the cluster's own link: what cuts that may cut both, and then nothing moves."
    ]


def look(host: Host) -> PairLook:
    """Tell another node by which devices this node would be mute with the cluster's link cut."""
    return PairLook(on_link=fence_seen.on_link(host))
