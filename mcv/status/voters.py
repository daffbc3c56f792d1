"""What of etcd's voters needs somebody, in the lines of `mcv info`."""

from collections.abc import Iterator, Mapping

from mcv.document import etcd_voters
from mcv.document.model import Cluster
from mcv.errors import McvError, NotUnderstood, SlowAnswer
from mcv.status.report import Reports


def attention(cluster: Cluster, seen: Reports, states: Mapping[str, str]) -> Iterator[str]:
    """A majority that is missing, a witness that is silent or was not brought what it needs.

    A member counts as a voter that does not answer where its daemon does not, or where it is
    among the states of the voters that were asked, and its etcd does not.
    """
    if cluster.store is None:
        return
    voters = [voter.name for voter in etcd_voters.voters(cluster)]
    gone = {name for name in voters if _is_silent(seen.get(name))}
    silent = [name for name in voters if name in gone or states.get(name) == "unreachable"]
    if not etcd_voters.has_quorum(len(voters) - len(silent), len(voters)):
        yield (
            f"{etcd_voters.too_few(len(voters), silent)}: nothing is changed and no VM started "
            f"until a majority does. {_advice(silent, gone)}"
        )
    elif cluster.witness is not None and cluster.witness.name in silent:
        yield f"{cluster.witness.name}, the witness, does not answer: systemctl status mcv-etcd"
    if why := etcd_voters.witness_lacks(cluster):
        yield f"{why}: mcv cluster store refresh"


def _advice(silent: list[str], gone: set[str]) -> str:
    """Where a daemon answers, its host lives, and etcd is what has to run there."""
    alive = [name for name in silent if name not in gone]
    where = f"On {' and '.join(alive)}: systemctl status mcv-etcd. " if alive else ""
    return f"{where}{etcd_voters.FOR_GOOD if gone else ''}".rstrip()


def _is_silent(report: object) -> bool:
    return isinstance(report, McvError) and not isinstance(report, NotUnderstood | SlowAnswer)
