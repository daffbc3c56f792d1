"""The files of DRBD's resources on a host, and whether each says what it should."""

from pathlib import Path

import msgspec

from mcv.document.model import Cluster
from mcv.drbd import roles, secret
from mcv.drivers import drbd_resource_file
from mcv.errors import Unreadable
from mcv.host import Host
from mcv.system import files


class ResourceFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file in /etc/drbd.d: whether it says what it should; None where it should not be."""

    ours: bool
    right: bool | None = None


def look(host: Host) -> dict[str, ResourceFile]:
    """Every resource file, and whether it says what it should.

    Which text is right only this node can tell: it holds the secret.
    """
    cluster = host.read()
    right = _right_texts(host, cluster) if cluster.drbd.enabled else {}
    found = {}
    for path in sorted(host.settings.drbd_directory.glob("*.res")):
        text = _text(path)
        wanted = right.get(path.stem)
        found[path.stem] = ResourceFile(
            ours=is_mcvs(path.stem, text), right=None if wanted is None else text == wanted
        )
    return found


def _text(path: Path) -> str:
    """What a resource file says; "" where it cannot be read: it is not as mcv writes it."""
    try:
        return files.read_or_none(path) or ""
    except Unreadable:
        return ""


def _right_texts(host: Host, cluster: Cluster) -> dict[str, str]:
    if not secret.exists(host, cluster.drbd.secret_id):
        return {}
    return {
        disk.resource: roles.file_text(host, cluster, disk)
        for _, disk in cluster.replicated()
        if host.name in disk.places
    }


def is_mcvs(resource: str, text: str = "") -> bool:
    """Whether mcv made a resource: by the name that it gives, or the line that it writes."""
    return resource.startswith("mcv-") or text.startswith(drbd_resource_file.MARK)
