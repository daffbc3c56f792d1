"""Names between nodes: matched against one pattern at the wire, on both sides."""

from typing import Any

from mcv.document import names
from mcv.errors import Refused

# Parameters that are names of VMs, nodes and networks wherever they occur.
KEYS = frozenset({"name", "vm", "node", "to", "network"})


def check(params: dict[str, Any]) -> None:
    """Refuse a call whose parameter should be a name and is not; empty parameters pass."""
    for key in sorted(KEYS & params.keys()):
        value = params[key]
        if value in (None, ""):
            continue
        if not isinstance(value, str):
            raise Refused(f"The parameter {key} is no name.", names.NAME_RULE)
        problem = names.problem_with_name(value, key)
        if problem:
            raise problem
