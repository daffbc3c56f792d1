"""What members ask each other about the document: the agreement's doors, one a question."""

from typing import Any

from mcv.host import Host


def look(host: Host) -> dict[str, Any]:
    return host.agreed.member.look()


def fetch(host: Host, since: str = "", proposal: bool = False) -> dict[str, Any]:
    return host.agreed.member.fetch(since, proposal)


def offer(host: Host, document: str, attempt: str) -> dict[str, Any]:
    return host.agreed.coordinator.offer(document, attempt)


def accept(host: Host, document: str, sender: str) -> dict[str, Any]:
    return host.agreed.member.accept(document, sender)


def settle(host: Host, hash: str) -> dict[str, Any]:
    return host.agreed.member.settle(hash)


def bring(host: Host, document: str, between: list[str]) -> dict[str, Any]:
    return host.agreed.member.bring(document, between)
