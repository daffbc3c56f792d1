"""What members ask each other about the document: the agreement's doors, one a question."""

from typing import Any

from mcv.host import Host


def look(host: Host) -> dict[str, Any]:
    return host.agreed.serve_look()


def fetch(host: Host, since: str = "", proposal: bool = False) -> dict[str, Any]:
    return host.agreed.serve_fetch(since, proposal)


def offer(host: Host, document: str) -> dict[str, Any]:
    return host.agreed.serve_offer(document)


def accept(host: Host, document: str, sender: str) -> dict[str, Any]:
    return host.agreed.serve_accept(document, sender)


def settle(host: Host, hash: str) -> dict[str, Any]:
    return host.agreed.serve_settle(hash)


def bring(host: Host, document: str, between: list[str]) -> dict[str, Any]:
    return host.agreed.serve_bring(document, between)
