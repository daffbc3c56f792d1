"""What the manager has decided last, as its node tells the others; and mcv ha explain."""

from msgspec import Struct
from msgspec.structs import replace

from mcv.cluster import ha_what_if
from mcv.document.ha_entry_changes import require_entry
from mcv.errors import McvError, Refused
from mcv.host import Host
from mcv.rules.ha.explain import Explained, explain
from mcv.system.answers import ask_typed

ASK = 1.0  # s that a node has to say whether it decides: reads answer within 3 s


class ToldOf(Struct, frozen=True, kw_only=True):
    """A VM or service by the newest decision; what was counted is of its window."""

    state: str
    reason: str
    attention: bool = False
    restarts: int = 0
    relocates: int = 0


class Decided(Struct, frozen=True, kw_only=True):
    """The newest decision of the manager; `manager` is "" where the node that tells is none."""

    manager: str = ""
    term: int = 0
    services: dict[str, ToldOf] = {}
    nodes: dict[str, str] = {}  # states
    waits: dict[str, str] = {}  # nodes that wait for an operator, and why


class Answered(Struct, frozen=True, kw_only=True):
    """Why something is where it is, from the manager; None where the node decides nothing."""

    explained: Explained | None = None


def own(host: Host) -> Decided:
    """Tell another node what was decided here."""
    decision = host.managing.decision
    if decision is None:
        return Decided()
    status = decision.status
    services = {}
    for name, reason in decision.reasons.services.items():
        kept = status.services.get(name)
        services[name] = ToldOf(
            state=kept.state if kept else "frozen",
            reason=reason.whole,
            attention=reason.attention,
            restarts=len(kept.restarts) if kept else 0,
            relocates=len(kept.relocates) if kept else 0,
        )
    nodes = {name: str(each.state) for name, each in status.nodes.items()}
    reasons = decision.reasons.nodes.items()
    waits = {name: reason.whole for name, reason in reasons if reason.attention}
    return Decided(manager=host.name, term=status.term, services=services, nodes=nodes, waits=waits)


def explain_here(host: Host, name: str) -> Answered:
    """Tell another node why something is where it is, where this one decides."""
    manager = host.managing.manager or host.managing.pair
    decision = host.managing.decision
    if manager is None or decision is None or manager.looked is None:
        return Answered()
    if name not in manager.looked.services:
        return Answered()
    return Answered(explained=explain(manager.looked, decision.status, name))


def ask(host: Host) -> Decided:
    """The newest decision that a member tells of; an empty one where nobody decides."""
    cluster = host.read()
    if not cluster.ha.armed:
        return Decided()
    answers = ask_typed(host.call, cluster.online, "ha.decided", ASK, Decided)
    told = [answer for answer in answers.values() if not isinstance(answer, McvError)]
    return max(told, key=lambda each: (bool(each.manager), each.term), default=Decided())


def explain_(host: Host, name: str) -> Explained:
    """Why a VM or service is where it is, and what each other node lacks.

    The manager says so where there is one; else this node looks by itself, and says that. Raises
    NotFound for what nobody manages.
    """
    cluster = host.read()
    require_entry(cluster, name)
    if manager := ask(host).manager:
        answers = ask_typed(host.call, [manager], "ha.explained", ASK, Answered, name=name)
        answer = answers[manager]
        if isinstance(answer, Answered) and answer.explained is not None:
            return answer.explained
    snapshot, status = ha_what_if.view(host)
    if name not in snapshot.services:
        raise Refused(f"Nothing is known of {name} yet.", "Look again.")
    found = explain(snapshot, status, name)
    if not cluster.ha.armed:
        return found
    return replace(found, reason=f"nobody decides now (mcv ha status); {found.reason}")
