"""etcd's majority is lost for good: the members that are left agree unanimously, at a human's word.

No step of it needs a claim, which a change would have to bring: it is one declaration, made over
the newest document that a survivor holds or that its etcd shows by itself.
"""

from mcv.cluster import etcd_steps, members
from mcv.cluster.store_moved import StoreMoved
from mcv.cluster.witness_machine import BY_HAND
from mcv.document import etcd_voters
from mcv.document.model import Cluster
from mcv.errors import Diverged, McvError, Refused, refuse_all
from mcv.host import DryRun, Host
from mcv.system.answers import ask_typed

ASK = 12.0  # s that a survivor has to read what its etcd shows: each dead voter costs a second


def to_unanimous(host: Host, names: list[str], dry_run: bool = False) -> StoreMoved | DryRun:
    """Let the members that are left agree unanimously without those of these names.

    Precondition: etcd has no majority, those named answer in no way, and every other online
    member takes part. What the dead alone had acknowledged is not in the document that goes on.
    Raises Refused, with every reason, where nothing was changed; OutcomeOpen as a declaration.
    """
    cluster = host.read()
    refuse_all(_why_not(host, cluster, names))
    if dry_run:
        return DryRun(plan=_in_words(cluster, names))
    _take_shown(host, cluster, names)
    cluster = host.read()
    told = _in_words(cluster, names)
    dead = [name for name in names if name in cluster.nodes]
    change, who = host.job.next_change(), host.job.who
    members.declare(host, dead, change, who, f"{' '.join(names)} is dead", leave_etcd=True)
    etcd_steps.tidy(host)  # the others do it by themselves
    left = [told[1], *_witness_left(cluster, names)]
    return StoreMoved(store="unanimous", voters=[], left=" ".join(left))


def _witness_left(cluster: Cluster, names: list[str]) -> list[str]:
    """What is to be done on the machine of a witness that is not among the dead."""
    if cluster.witness is None or cluster.witness.name in names:
        return []
    return [f"{cluster.witness.name} keeps its etcd, which nobody asks any more. There: {BY_HAND}"]


def _take_shown(host: Host, cluster: Cluster, names: list[str]) -> None:
    """Have every survivor look at what its etcd holds. Raises Refused for one that does not."""
    survivors = sorted(set(cluster.online) - set(names))
    host.job.progress(f"{' and '.join(survivors)}: what etcd there shows by itself")
    answers = ask_typed(host.call, survivors, "etcd.take_shown", ASK, str)
    problems = [
        Refused(f"{name} has to take part: {answer.message}", _help(host, name, answer))
        for name, answer in answers.items()
        if isinstance(answer, McvError)
    ]
    refuse_all(problems)


def _help(host: Host, name: str, error: McvError) -> str:
    if isinstance(error, Diverged):
        return error.hint
    return f"{host.advice(name)} If it is dead as well, name it too."


def _why_not(host: Host, cluster: Cluster, names: list[str]) -> list[Refused]:
    if cluster.store is None:
        return [Refused("The members agree unanimously already.", "See: mcv cluster store")]
    witness = cluster.witness
    problems = []
    for name in names:
        if name == host.name:
            problems.append(Refused(f"{name} is this node, and it is not dead."))
        elif name not in cluster.nodes and not (witness and witness.name == name):
            problems.append(Refused(f"There is no node {name}.", "See: mcv info"))
    problems += _majority(host, cluster)
    if problems:
        return problems
    dead = [name for name in names if name in cluster.nodes]
    alive = [name for name in dead if members.is_alive(host, name)]
    if witness and witness.name in names and members.answers_at_all(witness.ip_address, (22,)):
        alive.append(witness.name)
    return [
        Refused(f"{name} answers, so it is not dead.", "Power it off first, or get etcd to run.")
        for name in alive
    ]


def _majority(host: Host, cluster: Cluster) -> list[Refused]:
    voters = host.etcd.shown(etcd_voters.voters(cluster))
    answering = [voter.name for voter in voters if voter.state != "unreachable"]
    if not etcd_voters.has_quorum(len(answering), len(voters)):
        return []
    return [
        Refused(
            f"{' and '.join(answering)} are a majority of etcd's voters, so it is not lost.",
            "For a dead node: mcv node offline NODE --confirm-dead; to move the document: "
            "mcv cluster store unanimous",
        )
    ]


def _in_words(cluster: Cluster, names: list[str]) -> list[str]:
    """What becomes of the cluster: an operator decides by it."""
    survivors = sorted(set(cluster.online) - set(names))
    lines = [
        f"{' and '.join(survivors)} agree unanimously from then on, in a new epoch, without "
        f"{' and '.join(sorted(names))}.",
        f"What goes on is generation {cluster.generation} or a newer one that a survivor has "
        f"({cluster.change.why}, {cluster.change.when}). A change that the dead alone had "
        "acknowledged may be missing.",
    ]
    if cluster.ha.armed:
        lines.append("The cluster is disarmed: leases lay in etcd.")
    return lines
