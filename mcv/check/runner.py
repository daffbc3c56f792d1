"""`mcv cluster check`: ask every node what it has, judge it, and have safe things mended."""

import contextvars
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from msgspec import Struct

from mcv.check import inventory, members
from mcv.check.finding import ClusterSnapshot, Finding, FindingView, Fix
from mcv.check.fixes import Mended
from mcv.check.inventory import Inventory
from mcv.document import etcd_voters
from mcv.document.diff import differences, last_change
from mcv.drbd import pairs
from mcv.errors import McvError, NotUnderstood, PeerUnreachable, Refused
from mcv.host import Host
from mcv.rules.finding import Severity
from mcv.rules.ha.explain import WouldMove
from mcv.system.answers import decoded
from mcv.system.fanout import ask_all

SIGN_OF_LIFE = 1.5  # seconds in which a peer that lives says what it holds, and no longer
ANSWER = 15.0  # seconds that a node which lives, however busy, has to look at all that it has
AGAIN = 0.7  # seconds after which a document that was just changing is looked at once more
MEND = 120.0
SETTLING = 10.0  # seconds that a replica has to find its peer after it was brought up
SHOWN = 8  # differences between two documents that are told one by one

Asked = dict[str, tuple[float, float]]
Placeless = Callable[[Host], list[WouldMove]]


class CheckResult(Struct, frozen=True, kw_only=True):
    """All that is not as it should be; `ok` is whether nothing of it is an error."""

    ok: bool
    findings: list[FindingView]


class FixRow(Struct, frozen=True, kw_only=True):
    """What became of one fix on its node; `message` says why it was left."""

    node: str
    deed: str
    subject: str
    done: bool
    message: str
    text: str


class FixResult(CheckResult, frozen=True, kw_only=True):
    """What was mended, and what a check finds afterwards."""

    fixed: list[FixRow]


class FixPlan(Struct, frozen=True, kw_only=True):
    """What would be mended."""

    dry_run: bool
    plan: list[str]


def check(host: Host, placeless: Placeless | None = None) -> CheckResult:
    """All that is not as it should be; `placeless` tells what would run nowhere without a node."""
    found = _judge(host, placeless)
    return CheckResult(ok=members.is_well(found), findings=[finding.view for finding in found])


def _judge(host: Host, placeless: Placeless | None) -> list[Finding]:
    scene = _look(host, placeless)
    unsettled = any(
        members.standing(scene, told) in ("older", "newer") for told in scene.seen.values()
    )
    if unsettled:
        # A change may just be passing from node to node.
        time.sleep(AGAIN)
        scene = _look(host, placeless)
    return members.judge(scene)


def _look(host: Host, placeless: Placeless | None = None) -> ClusterSnapshot:
    """Ask all nodes at once, and see whether the document stayed the same meanwhile."""
    known = host.both()
    would = _beside(host, placeless) if placeless is not None else None
    seen, silent, asked = _ask(host, sorted(set(known[0].nodes) - {host.name}))
    pairs.complete(host, {name: told.resources for name, told in seen.items() if told.resources})
    cluster, hash_ = host.consensus.committed()
    known += host.both()
    for node in set(cluster.nodes) - set(seen) - set(silent):
        silent[node] = PeerUnreachable(f"{node} was not asked: it has just joined.")
    voters = host.etcd.shown(etcd_voters.voters(cluster)) if cluster.store else []
    scene = ClusterSnapshot(
        host.name,
        cluster,
        hash_,
        tuple(known),
        seen,
        silent,
        asked,
        {},
        tuple(voters),
        dict(host.observations.behind),
        would() if would is not None else (),
    )
    for node, told in seen.items():
        if members.standing(scene, told) == "diverged":
            scene.differences[node] = _difference(host, node)
    return scene


def _beside(host: Host, placeless: Placeless) -> Callable[[], tuple[WouldMove, ...] | McvError]:
    """Look for what would run nowhere side by side with all else; the answer waits for its end."""
    found: list[tuple[WouldMove, ...] | McvError] = []

    def look() -> None:
        try:
            found.append(tuple(placeless(host)))
        except McvError as error:
            found.append(error)

    context = contextvars.copy_context()
    thread = threading.Thread(target=context.run, args=(look,), daemon=True)
    thread.start()

    def answer() -> tuple[WouldMove, ...] | McvError:
        thread.join(SIGN_OF_LIFE)
        return found[0] if found else PeerUnreachable("nodes do not tell in time.", "Look again.")

    return answer


def _ask(host: Host, others: list[str]) -> tuple[dict[str, Inventory], dict[str, McvError], Asked]:
    """What each node has, who is silent, and when each was asked.

    A peer that gives no sign of life is not waited for; this node looks at itself
    side by side with that.
    """
    asked: Asked = {}
    answers: dict[str, Any] = {}

    def ask(node: str, operation: str, timeout: float) -> Any:
        if node == host.name:
            return inventory.inventory(host)
        began = time.time()
        answer = host.call(node, operation, timeout=timeout)
        asked[node] = (began, time.time())
        return answer

    def take_stock(nodes: list[str]) -> None:
        answers.update(ask_all(ask, nodes, "node.inventory", ANSWER))

    mine = threading.Thread(target=take_stock, args=([host.name],), daemon=True)
    mine.start()
    signs = ask_all(ask, others, "config.poll", SIGN_OF_LIFE)
    silent = {node: sign for node, sign in signs.items() if isinstance(sign, McvError)}
    take_stock([node for node in others if node not in silent])
    mine.join(ANSWER)
    seen: dict[str, Inventory] = {}
    for node in (host.name, *others):
        try:
            seen[node] = _read(node, silent.get(node) or answers.get(node))
        except McvError as error:
            silent[node] = error
    return seen, silent, asked


def _read(node: str, answer: Any) -> Inventory:
    """A node's inventory. Raises the error that stands for it."""
    if answer is None:
        raise PeerUnreachable(
            f"{node} did not say what it has in time.", "Look again in a while: mcv cluster check"
        )
    if isinstance(answer, McvError):
        raise answer
    told = decoded(node, "node.inventory", answer, Inventory)
    if told.node != node:
        raise NotUnderstood(f"{node} answered to node.inventory as {told.node}.")
    return told


def _difference(host: Host, node: str) -> str:
    """How a diverged node's document differs from this node's, in a line."""
    theirs = host.consensus.documents([node])[node]
    if isinstance(theirs, McvError):
        return f"How it differs is not known: {theirs.message}"
    differ = differences(host.read(), theirs)
    told = "; ".join(differ[:SHOWN])
    more = f"; and {len(differ) - SHOWN} more" if len(differ) > SHOWN else ""
    return (
        f"{last_change(theirs)} "
        f"What differs ({host.name} / {node}): {told or 'nothing but their past'}{more}."
    )


# Mending


def fix(
    host: Host,
    fixes: list[dict[str, str]],
    dry_run: bool = False,
    placeless: Placeless | None = None,
) -> FixResult | FixPlan:
    """Have nodes mend what they were shown to need; each looks again right before.

    Only what is asked for is done: a finding that nobody was shown is not. What could
    not be done, or is not needed any more, says why.
    """
    host.consensus.require_contact()
    wanted = _wanted(fixes)
    if dry_run:
        return FixPlan(dry_run=True, plan=[str(fix_) for fix_ in wanted])
    rows: list[FixRow] = []
    for node in sorted({fix_.node for fix_ in wanted}):
        rows += _mend(host, node, [fix_ for fix_ in wanted if fix_.node == node])
    found = _judge_settled(host, rows, placeless)
    return FixResult(
        ok=members.is_well(found), findings=[finding.view for finding in found], fixed=rows
    )


def _mend(host: Host, node: str, fixes: list[Fix]) -> Iterator[FixRow]:
    """Have one node mend; where it does not answer nothing counts as done."""
    deeds = [{"deed": fix_.deed, "subject": fix_.subject} for fix_ in fixes]
    host.job.progress(f"{node}: {len(deeds)} to mend")
    try:
        answer = host.call(node, "node.mend", deeds=deeds, timeout=MEND)
        mended = decoded(node, "node.mend", answer, list[Mended])
    except McvError as error:
        mended = [Mended(**deed, done=False, message=error.message) for deed in deeds]
    for row in mended:
        text = str(Fix(node=node, deed=row.deed, subject=row.subject))
        host.job.progress(f"{text}: {'done' if row.done else f'left: {row.message}'}")
        yield FixRow(
            node=node,
            deed=row.deed,
            subject=row.subject,
            done=row.done,
            message=row.message,
            text=text,
        )


def _judge_settled(host: Host, rows: list[FixRow], placeless: Placeless | None) -> list[Finding]:
    """Judge once more; replicas that were brought up may need a moment to be well."""
    moved = {row.subject for row in rows if row.done and row.deed in ("up", "file")}
    until = time.monotonic() + SETTLING
    while True:
        found = _judge(host, placeless)
        waiting = any(
            finding.severity is Severity.ERROR and finding.subject in moved for finding in found
        )
        if not waiting or time.monotonic() > until:
            return found
        time.sleep(AGAIN)


def _wanted(fixes: list[dict[str, str]]) -> list[Fix]:
    try:
        return [
            Fix(node=fix_["node"], deed=fix_["deed"], subject=fix_["subject"]) for fix_ in fixes
        ]
    except (KeyError, TypeError):
        raise Refused("A fix names a node, a deed and a subject.", "mcv cluster check") from None
