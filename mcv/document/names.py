"""Types of the names in documents and on the wire, and what is wrong with a name."""

import re
from typing import Annotated

from msgspec import Meta

from mcv.errors import Refused

NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
NAME_RULE = "Names are 1 to 63 of a-z 0-9 and -, neither first nor last a dash."

# In etcd `lease/manager` is the key of the node that decides, beside `lease/NODE`.
NO_NODE = ("manager",)

# The end is \Z: `$` would let a newline pass behind the name.
Name = Annotated[str, Meta(pattern=rf"^{NAME.pattern}\Z")]
NameOrNothing = Annotated[str, Meta(pattern=rf"^({NAME.pattern})?\Z")]

# What becomes a part of a path, of a command or of a resource file: operations, resources,
# volumes, volume groups, bridges, host names. No such name holds a slash, a space or a newline.
PlainName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_+][A-Za-z0-9_+.:@-]*\Z", max_length=255)]
Address = Annotated[str, Meta(pattern=r"^[A-Za-z0-9:][A-Za-z0-9.:_%-]*\Z", max_length=255)]

# Where a pool's volumes lie on a node: a directory by its whole path, a volume group, or the
# thin pool VG/POOL. No part of it is `.` or `..`.
Location = Annotated[
    str,
    Meta(
        pattern=r"^(?!(?:.*/)?\.{1,2}(?:/|\Z))/?[A-Za-z0-9_+.:@-]+(?:/[A-Za-z0-9_+.:@-]+)*\Z",
        max_length=1024,
    ),
]


def problem_with_name(name: str, what: str) -> Refused | None:
    """A refusal that quotes the name, or None for a valid name; `what` is the kind of thing."""
    if NAME.fullmatch(name):
        return None
    shown = name if len(name) <= 80 else name[:77] + "..."
    article = "an" if what[0] in "aeiou" else "a"
    return Refused(f"{shown!r} is no name for {article} {what}.", NAME_RULE)


def problem_with_node_name(name: str) -> Refused | None:
    """The same for a node, whose name is a part of its keys in etcd."""
    if name in NO_NODE:
        return Refused(
            f"A node is not called {name}: etcd keeps something else under that name.",
            "Choose another one: `node = NAME` in mcv.conf, before mcvd starts for the first time.",
        )
    return problem_with_name(name, "node")
