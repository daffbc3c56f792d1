"""What members ask each other about the document: unanimous agreement's doors, one a question."""

from typing import Any

from mcv.consensus.unanimous.agreement import UnanimousAgreement
from mcv.errors import Refused
from mcv.host import Host


def _agreement(host: Host) -> UnanimousAgreement:
    """This node's part; raise Refused where its members agree in another way."""
    if not isinstance(host.consensus, UnanimousAgreement):
        raise Refused(f"{host.name} takes no part in unanimous agreement.")
    return host.consensus


def look(host: Host) -> dict[str, Any]:
    return _agreement(host).member.look()


def fetch(host: Host, since: str = "", proposal: bool = False) -> dict[str, Any]:
    return _agreement(host).member.fetch(since, proposal)


def offer(host: Host, document: str, attempt: str) -> dict[str, Any]:
    return _agreement(host).coordinator.offer(document, attempt)


def accept(host: Host, document: str, sender: str) -> dict[str, Any]:
    return _agreement(host).member.accept(document, sender)


def settle(host: Host, hash: str) -> dict[str, Any]:
    return _agreement(host).member.settle(hash)


def bring(host: Host, document: str, between: list[str]) -> dict[str, Any]:
    return _agreement(host).member.bring(document, between)
