"""What of etcd needs somebody: voters that do not answer, are full, or have slow disks."""

from collections.abc import Iterator

from mcv.check.finding import ClusterSnapshot, Finding
from mcv.document.etcd_voters import has_quorum, witness_lacks
from mcv.drivers.etcd_local import VoterShown
from mcv.etcd.config import QUOTA
from mcv.rules.finding import Severity

SLOW = 100.0  # ms: each change waits for the disks of a majority
FILLING, NEARLY_FULL = 0.25, 0.5  # of the quota, above which etcd takes no write


def judge(scene: ClusterSnapshot) -> Iterator[Finding]:
    """What is wrong with voters and witness; nothing where the members agree unanimously."""
    yield from _witness(scene)
    away = [voter for voter in scene.voters if voter.state == "unreachable"]
    left = len(scene.voters) - len(away)
    for voter in scene.voters:
        if voter.state == "unreachable":
            yield _unreachable(voter, has_quorum(left - 1, len(scene.voters)))
        else:
            yield from _room(voter)
            yield from _disk(voter)


def _witness(scene: ClusterSnapshot) -> Iterator[Finding]:
    if (witness := scene.cluster.witness) and (why := witness_lacks(scene.cluster)):
        yield Finding(
            severity=Severity.WARNING,
            node=witness.name,
            subject="etcd",
            message=f"{why}.",
            hint="mcv cluster store refresh",
        )


def _unreachable(voter: VoterShown, one_more_may_go: bool) -> Finding:
    rest = "" if one_more_may_go else ", and no other voter may fail now"
    return Finding(
        severity=Severity.WARNING if one_more_may_go else Severity.ERROR,
        node=voter.name,
        subject="etcd",
        message=f"etcd on {voter.name} does not answer{rest}.",
        hint=f"On {voter.name}: systemctl status mcv-etcd; journalctl -u mcv-etcd",
    )


def _room(voter: VoterShown) -> Iterator[Finding]:
    used = voter.size / QUOTA
    if voter.state == "full" or used >= FILLING:
        is_error = voter.state == "full" or used >= NEARLY_FULL
        told = "is full and takes no change" if voter.state == "full" else f"is {used:.0%} full"
        yield Finding(
            severity=Severity.ERROR if is_error else Severity.WARNING,
            node=voter.name,
            subject="etcd",
            message=f"etcd on {voter.name} {told}.",
            hint="mcvd makes room by itself within minutes; where that lasts: journalctl -u mcvd",
        )


def _disk(voter: VoterShown) -> Iterator[Finding]:
    if voter.fsync_ms is not None and voter.fsync_ms > SLOW:
        yield Finding(
            severity=Severity.WARNING,
            node=voter.name,
            subject="etcd",
            message=f"etcd on {voter.name} waits {voter.fsync_ms:g} ms for its disk at times.",
            hint="Each change waits with it. Does something else write to the disk of /var there?",
        )
