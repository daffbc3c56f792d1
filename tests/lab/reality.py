"""What is really so on a node: libvirt, DRBD, LVM and files are asked, never mcv."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tests.lab import Node
from tests.lab.lab import side_by_side

SECTOR = 512

# A resource file of somebody else's that drbdadm cannot read, and its place.
FOREIGN, FOREIGN_FILE = "resource theirs {\n    on nowhere", "/etc/drbd.d/theirs.res"

# Everything that a refused command must leave as it was: (what, how it is read).
KEPT = {
    "document": "cat /var/lib/mcv/$(hostname)/config.json",
    "proposal": "cat /var/lib/mcv/$(hostname)/proposal.json 2> /dev/null",
    "journal": "ls -A /var/lib/mcv/$(hostname)/journal 2> /dev/null",
    "staged join": "cat /var/lib/mcv/$(hostname)/staged.json 2> /dev/null",
    "keys": "cd /var/lib/mcv/$(hostname)/pki && find . -type f | sort | xargs sha256sum",
    "volumes": "lvs --noheadings --options vg_name,lv_name,lv_size,lv_tags",
    "resource files": "cd /etc/drbd.d && find . -type f | sort | xargs -r sha256sum",
    "resources": "cat /proc/drbd 2> /dev/null | grep -E '^ *[0-9]+:'",
    "definitions": (
        "for name in $(virsh -q list --all --name); do virsh dumpxml --inactive $name; done"
    ),
    "domains": "virsh -q list --all",
    "authorized_keys": "cat /root/.ssh/authorized_keys",
    "known_hosts": "cat /root/.ssh/known_hosts /etc/ssh/ssh_known_hosts 2> /dev/null",
}


@dataclass(frozen=True)
class View:
    """A resource as the kernel of one node sees it, in DRBD's words."""

    role: str
    disk: str
    connection: str
    replication: str
    peer_disk: str
    out_of_sync: int  # bytes

    @property
    def is_well(self) -> bool:
        """Both replicas are there, connected, alike as far as the kernel knows."""
        return (self.disk, self.peer_disk, self.connection, self.out_of_sync) == (
            "UpToDate",
            "UpToDate",
            "Connected",
            0,
        )


def drbd(node: Node, resource: str) -> View | None:
    """What `drbdsetup events2` tells of a resource; None where it is not up."""
    told = node.run(f"drbdsetup events2 --now --statistics {resource}", check=False).stdout
    values: dict[str, str] = {}
    for line in told.splitlines():
        words = line.split()
        if len(words) < 3 or words[0] != "exists":
            continue
        pairs = dict(word.partition(":")[::2] for word in words[2:])
        prefix = {"connection": "peer ", "peer-device": "peer "}.get(words[1], "")
        values |= {prefix + key: value for key, value in pairs.items()}
    if "role" not in values:
        return None
    return View(
        role=values["role"],
        disk=values.get("disk", ""),
        connection=values.get("peer connection", "StandAlone"),
        replication=values.get("peer replication", "Off"),
        peer_disk=values.get("peer peer-disk", "DUnknown"),
        out_of_sync=int(values.get("peer out-of-sync", 0)) * 1024,
    )


def is_in_step(node: Node, resource: str) -> bool:
    """Whether a resource is up on a node, and well on both sides."""
    view = drbd(node, resource)
    return view is not None and view.is_well


def has_read(node: Node) -> bool:
    """Whether the guest on a node's only resource has read from its disk, and reads no more."""
    counter = "grep -o 'dr:[0-9]*' /proc/drbd"
    before, after = node.run(f"{counter}; sleep 3; {counter}").stdout.split()
    return before == after != "dr:0"


def device(node: Node, resource: str) -> str:
    """The block device of a resource, by the link that udev makes."""
    return node.run(f"readlink -e /dev/drbd/by-res/{resource}/0").stdout.strip()


def domain(node: Node, name: str) -> str:
    """libvirt's word for a domain's state; "absent" where it is not defined."""
    told = node.run(f"virsh domstate {name}", check=False)
    return told.stdout.strip() if told.code == 0 else "absent"


def domains(node: Node) -> set[str]:
    return set(node.run("virsh -q list --all --name").stdout.split())


def volumes(node: Node) -> set[str]:
    return set(node.run("lvs --noheadings --options lv_name").stdout.split())


def resource_files(node: Node) -> set[str]:
    listed = node.run("cd /etc/drbd.d && ls *.res", check=False).stdout.split()
    return {name.removesuffix(".res") for name in listed}


def kernel_resources(node: Node) -> set[str]:
    told = node.run("drbdsetup events2 --now", check=False).stdout
    lines = [line.split() for line in told.splitlines() if line.startswith("exists resource ")]
    return {word.removeprefix("name:") for line in lines for word in line if "name:" in word}


def digest(node: Node, device: str, mib: int) -> str:
    """The SHA-256 of a device's first bytes, read from the disk and not from a cache."""
    read = f"dd if={device} bs=1M count={mib} iflag=direct status=none | sha256sum"
    return node.run(read).stdout.split()[0]


def byte(node: Node, device: str, offset: int) -> int:
    """One byte of a device, read from the disk and not from a cache."""
    sector, within = divmod(offset, SECTOR)
    read = (
        f"dd if={device} bs={SECTOR} skip={sector} count=1 iflag=direct status=none | od -An -tu1"
    )
    return int(node.run(f"{read} -v -w1 | sed -n {within + 1}p").stdout)


def write_byte(node: Node, device: str, offset: int, value: str) -> None:
    """Change one byte of a device behind the back of who uses it."""
    node.run(f"printf {value} | dd of={device} bs=1 seek={offset} conv=notrunc,fsync status=none")


def document(node: Node) -> dict[str, Any]:
    """The settled document as it lies on the node's disk."""
    return dict(json.loads(node.run("cat /var/lib/mcv/$(hostname)/config.json").stdout))


def snapshot(node: Node) -> dict[str, str]:
    """All that a refused command must not change on a node; one round trip."""
    mark = "=== what:"
    script = "\n".join(f"echo '{mark} {what}'\n({how})" for what, how in KEPT.items())
    told = node.run("bash -s", stdin=script, check=False).stdout
    parts = (part.partition("\n") for part in told.split(f"{mark} ")[1:])
    return {what: text for what, _, text in parts}


def snapshots(nodes: Iterable[Node]) -> dict[str, dict[str, str]]:
    wanted = list(nodes)
    return dict(zip((node.name for node in wanted), side_by_side(snapshot, wanted), strict=True))
