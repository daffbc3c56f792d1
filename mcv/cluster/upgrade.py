"""The document's schema follows the members: it rises when every online member reads a later."""

import secrets

from mcv.host import Host


def raise_schema(host: Host) -> None:
    """Have the document written in the latest schema that every online member reads.

    The coordinator proposes it, once it has heard all of them; without effect elsewhere.
    Raises what a proposal raises; the next round tries again.
    """
    document, schema = host.read(), host.consensus.schema
    if document.coordinator == host.name and document.schema < schema:
        host.consensus.propose(
            "document.schema",
            {"schema": schema},
            id=secrets.token_hex(4),
            who="mcvd",
            why="every member reads it",
        )
