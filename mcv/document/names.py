"""Names of VMs, nodes and networks: the type that documents use, and what is wrong with a name."""

import re
from typing import Annotated

from msgspec import Meta

from mcv.errors import Refused

NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
NAME_RULE = "Names are 1 to 63 of a-z 0-9 and -, neither first nor last a dash."

# The end is \Z: `$` would let a newline pass behind the name.
Name = Annotated[str, Meta(pattern=rf"^{NAME.pattern}\Z")]


def problem_with_name(name: str, what: str) -> Refused | None:
    """A refusal that quotes the name, or None for a valid name; `what` is the kind of thing."""
    if NAME.fullmatch(name):
        return None
    shown = name if len(name) <= 80 else name[:77] + "..."
    return Refused(f"{shown!r} is no name for a {what}.", NAME_RULE)
