"""What a node notes of a domain that may arrive; the hook of libvirt reads it too."""

from pathlib import Path

from msgspec import Struct

from mcv.document.names import Name
from mcv.errors import Unreadable
from mcv.system import files

ENDING = ".arrival.json"


class ArrivalNote(Struct, frozen=True, kw_only=True):
    """A domain that may arrive here: from which owner, by which operation, and as what.

    `xml` is the definition by this node's own libvirt. A domain `with_disks` brings disks of
    one node along, of which those at the targets `mirrored` are sent while it runs; that it was
    `resumed` is noted first, and stays known until the operation is over.
    """

    name: Name
    source: Name
    operation: str
    uuid: str
    xml: str
    mirrored: tuple[str, ...] = ()
    with_disks: bool = False
    resumed: bool = False


def expected(notes: Path, uuid: str) -> str:
    """The operation by which a domain of that UUID may arrive here with disks; "" for none."""
    for path in sorted(notes.glob(f"*{ENDING}")):
        try:
            note = files.read_as(path, ArrivalNote)
        except Unreadable:
            continue
        if note is not None and note.uuid == uuid and note.with_disks and not note.resumed:
            return note.operation
    return ""
