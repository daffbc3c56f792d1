"""The handler's side of mcv/ha/pair_loss.py on a node: the documents as they lie on its disk.

The standard library alone reads them: a guest's I/O stands still meanwhile.
"""

import contextlib
import json
from pathlib import Path
from typing import Any

from mcv.drbd import armed_handler
from mcv.drbd.armed_handler import NodeHandlerEnv
from mcv.ha import handler_facts, pair_loss
from mcv.ha.env import Facts
from mcv.ha.handler_facts import HandlerFacts
from mcv.ha.peer_loss import ALONE, FENCED, OUTDATED, REFUSE

WORDS = {
    OUTDATED: "its peer has outdated its replica",
    ALONE: "its peer is silent, and could not be switched off (on-fence-failure)",
    FENCED: "its peer is offline in the document",
    REFUSE: "no verdict",
}
NOBODY = Facts(owner="", peer="", peer_is_offline=False, head="")


class PairHandlerEnv(NodeHandlerEnv):
    """A node of two; whether guests may go on alone stands in the small file beside config.json."""

    def __init__(self, state: Path, facts: HandlerFacts) -> None:
        super().__init__(state, facts)
        self._small = facts

    async def facts(self, resource: str) -> Facts | None:
        """What the committed document and the proposal say; None where they do not say the same.

        A document that cannot be read says nothing.
        """
        with contextlib.suppress(OSError, ValueError):
            self._small = handler_facts.read(self._state) or self._small
        try:
            said = {_said(document, resource, self) for document in _documents(self._state)}
        except (OSError, ValueError, KeyError, TypeError, AttributeError, StopIteration):
            return None
        return said.pop() if len(said) == 1 else None

    def may_go_on(self, peer: str) -> bool:
        return peer in self._small.alone


def _documents(state: Path) -> list[dict[str, Any]]:
    """The proposal is read first: one that is committed in between is seen twice, not never."""
    documents = []
    with contextlib.suppress(FileNotFoundError):
        documents.append(json.loads((state / "proposal.json").read_bytes()))
    return [*documents, json.loads((state / "config.json").read_bytes())]


def _said(document: dict[str, Any], resource: str, env: PairHandlerEnv) -> Facts:
    """What one document says of a resource."""
    nodes = document["nodes"]
    for vm in document["vms"].values():
        for disk in vm["disks"]:
            if disk.get("resource") == resource:
                peer = next(node for node in disk["volume_groups"] if node != env.node)
                return Facts(
                    owner=vm["node"],
                    peer=peer,
                    peer_is_offline=nodes.get(peer, {}).get("status") != "online",
                    head="",
                    waits=not env.may_go_on(peer),
                    is_online=nodes.get(env.node, {}).get("status") == "online",
                )
    return NOBODY


OF_TWO = armed_handler.Way(PairHandlerEnv, pair_loss.decide, WORDS)


def answer(resource: str, state: Path, facts: HandlerFacts) -> int:
    """The exit code on an armed node, be it with leases or one of two without."""
    if facts.is_pair:
        return armed_handler.answer(resource, state, facts, OF_TWO)
    return armed_handler.answer(resource, state, facts)
