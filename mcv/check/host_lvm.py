"""Whether the host's own LVM looks at guests' disks: pure, over what nodes tell."""

from collections.abc import Iterator

from mcv.check.finding import FIX, ClusterSnapshot, Finding, Fix
from mcv.drivers.lvm_filter import LINE, Sight
from mcv.rules.finding import Severity


def judge(scene: ClusterSnapshot) -> Iterator[Finding]:
    """A warning for each node where a guest's volume group becomes the host's."""
    if not scene.cluster.drbd.enabled:
        return
    for node, inventory in scene.seen.items():
        sight = inventory.lvm_sight
        if sight is not None and sight.disks:
            yield _disks(node, sight)
        if sight is not None and sight.volumes:
            yield _volumes(node, sight)


def _disks(node: str, sight: Sight) -> Finding:
    """The line that is missing, or the line that is there and needs one pattern more."""
    danger = f"LVM of {node} looks at guests' disks: a volume group in there becomes the host's, "
    danger += "and keeps the disk Primary while it is active."
    hint = f'In {sight.line}, put first: "r|^/dev/drbd|"' if sight.line else FIX
    lacks = "" if sight.line else f" {sight.file} lacks in devices {{ }}: {LINE}"
    return Finding(
        severity=Severity.WARNING,
        node=node,
        subject=sight.file,
        message=danger + lacks,
        hint=hint,
        fix=None if sight.line else Fix(node=node, deed="hide-guests", subject=sight.file),
    )


def _volumes(node: str, sight: Sight) -> Finding:
    return Finding(
        severity=Severity.WARNING,
        node=node,
        subject="scan_lvs",
        message=f"LVM of {node} looks into logical volumes (scan_lvs = 1), guests' disks among "
        "them.",
        hint=f'In {sight.file}: scan_lvs = 0, or in global_filter: "r|^/dev/[^/]+/mcv-|", '
        '"r|^/dev/mapper/.+-mcv--|"',
    )
