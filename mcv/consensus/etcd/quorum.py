"""What an operator is told where etcd has no majority: how many are needed, and who is missing."""

from collections.abc import Iterable, Sequence

from mcv.consensus.unanimous.contact import names, said_of
from mcv.errors import McvError, PeerUnreachable
from mcv.etcd.gateway import Endpoint
from mcv.etcd.members import Upkeep
from mcv.system.fanout import ask_all

FOR_GOOD = "Gone for good? mcv cluster store unanimous --confirm-dead N..."


def silent_of(upkeep: Upkeep, endpoints: Iterable[Endpoint]) -> list[str]:
    """The members of etcd that do not answer; all are asked side by side."""
    by_name = {endpoint.name: endpoint for endpoint in endpoints}

    def ask(name: str, operation: str, timeout: float) -> bool:
        return bool(upkeep.status(by_name[name]))

    answers = ask_all(ask, sorted(by_name), "status", 1.0)
    return [name for name, answer in answers.items() if isinstance(answer, McvError)]


def no_quorum(voters: Sequence[str], silent: Sequence[str], why: str = "") -> PeerUnreachable:
    """The error for a change or a start without a majority; nothing was changed."""
    needed = len(voters) // 2 + 1
    if silent:
        missing = f"{said_of(silent, 'does', 'do')} not answer"
        advice = f"Look on {names(silent)}: systemctl status mcv-etcd. {FOR_GOOD}"
    else:
        missing = f"no majority of {names(voters)} agrees at present ({why.rstrip('.')})"
        advice = "Try again."
    return PeerUnreachable(
        f"{needed} of {len(voters)} are needed, {missing}, so nothing was changed.", advice
    )
