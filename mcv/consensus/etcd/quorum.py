"""What an operator is told where etcd has no majority: how many are needed, and who is missing."""

from collections.abc import Iterable, Sequence

from mcv.document.etcd_voters import FOR_GOOD, needed_of, too_few
from mcv.errors import McvError, PeerUnreachable
from mcv.etcd.gateway import Endpoint
from mcv.etcd.members import Upkeep
from mcv.printable import names
from mcv.system.fanout import ask_all


def silent_of(upkeep: Upkeep, endpoints: Iterable[Endpoint]) -> list[str]:
    """The members of etcd that do not answer; all are asked side by side."""
    by_name = {endpoint.name: endpoint for endpoint in endpoints}

    def ask(name: str, operation: str, timeout: float) -> bool:
        return bool(upkeep.status(by_name[name]))

    answers = ask_all(ask, sorted(by_name), "status", 1.0)
    return [name for name, answer in answers.items() if isinstance(answer, McvError)]


def no_quorum(voters: Sequence[str], silent: Sequence[str], why: str = "") -> PeerUnreachable:
    """The error for a change or a start without a majority; nothing was changed."""
    if silent:
        missing = too_few(len(voters), silent)
        advice = f"Look on {names(silent)}: systemctl status mcv-etcd. {FOR_GOOD}"
    else:
        missing = (
            f"{needed_of(len(voters))}, no majority of {names(voters)} agrees at present "
            f"({why.rstrip('.')})"
        )
        advice = "Try again."
    return PeerUnreachable(f"{missing}, so nothing was changed.", advice)
