"""Which state directory is this node's: the one whose document is of this node.

A directory is called after the host at mcvd's first start. A host that is renamed, or a disk
that is cloned, does not make it another node's.
"""

from dataclasses import replace
from pathlib import Path

from mcv.document.model import decode
from mcv.errors import Refused
from mcv.settings import CONF, Settings

# What lies beside the state directories, and is the same on every node.
BESIDE = ("images", "pool")


def located(settings: Settings) -> Settings:
    """The settings with the state directory whose document is of the node they name.

    A host without any document gets a directory of its own name, or NAME.node where the name is
    that of the images' or the default pool's directory. Errors: Refused where the documents
    beside are of other nodes alone, or where two are of this node.
    """
    holders = _holders(settings.var)
    ours = [directory for directory, owner in holders.items() if _is_of(settings, directory, owner)]
    if len(ours) > 1:
        raise Refused(
            f"Two state directories are of the node {settings.node}: "
            f"{' and '.join(map(str, ours))}.",
            f"Move all but the right one out of {settings.var}.",
        )
    if ours:
        return replace(settings, directory=ours[0].name)
    for directory, owner in holders.items():
        raise _another(settings, directory, owner)
    if settings.state.name in BESIDE:
        return replace(settings, directory=f"{settings.state.name}.node")
    return settings


def at(settings: Settings, directory: Path) -> Settings:
    """The settings of the node whose state lies in a directory, whatever the host is called."""
    node = _owner(directory) or settings.node
    return replace(settings, var=directory.parent, directory=directory.name, node=node)


def _holders(var: Path) -> dict[Path, str]:
    """The directories that hold a document, and the node that each is of."""
    found = sorted(path.parent for path in var.glob("*/config.json"))
    return {directory: _owner(directory) for directory in found}


def _owner(directory: Path) -> str:
    """The node whose document a directory holds; "" where that cannot be told.

    A document names all members: this node is the member whose certificate lies beside it.
    """
    try:
        text = (directory / "config.json").read_text(encoding="utf-8")
        nodes = decode(text).nodes
    except (Refused, OSError, UnicodeError):
        return ""
    certificate = _certificate(directory)
    for node in nodes.values():
        if certificate and node.certificate.strip() == certificate:
            return node.name
    if len(nodes) == 1:
        return next(iter(nodes))
    return next((node.name for node in nodes.values() if node.hostname == directory.name), "")


def _certificate(directory: Path) -> str:
    try:
        return (directory / "pki" / "certificate.pem").read_text(encoding="utf-8").strip()
    except (OSError, UnicodeError):
        return ""


def _is_of(settings: Settings, directory: Path, owner: str) -> bool:
    """Whether a directory is this node's; by its name where its document does not tell."""
    if owner:
        return owner == settings.node
    name = directory.name
    return name == settings.hostname or name.partition(".")[0].lower() == settings.node


def _another(settings: Settings, directory: Path, owner: str) -> Refused:
    return Refused(
        f"This host is the node {settings.node} now, and {directory} holds the document of "
        f"{owner or 'another node'}: mcvd does not begin anew beside it.",
        f"Was the host renamed? Give it its old name back (hostnamectl set-hostname "
        f"{directory.name}), or set node = {owner or 'OLD'} in {CONF}. Is its disk a clone? Move "
        f"the directory away: mv {directory} /root/. Then: systemctl start mcvd",
    )
