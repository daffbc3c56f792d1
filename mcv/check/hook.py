"""Whether a node's libvirt asks mcv before it starts a VM's domain."""

from collections.abc import Iterator

from mcv.check.finding import Finding
from mcv.check.inventory import Inventory
from mcv.drivers.libvirt_hook import HOOK, HookState
from mcv.rules.finding import Severity

ABSENT = (
    "mcv's hook of libvirt is missing on {}, or no program: whoever asks libvirt there can start "
    "a VM that belongs to another node.",
    "On {}: make install, then: systemctl restart libvirtd (guests run on)",
)
UNSEEN = (
    "libvirt on {} began before there was a hook: whoever asks it can start a VM that belongs to "
    "another node.",
    "On {}: systemctl restart libvirtd (guests run on)",
)


def judge(inventory: Inventory) -> Iterator[Finding]:
    if inventory.hook is HookState.ASKED:
        return
    message, hint = ABSENT if inventory.hook is HookState.ABSENT else UNSEEN
    yield Finding(
        severity=Severity.WARNING,
        node=inventory.node,
        subject=f"/{HOOK}",
        message=message.format(inventory.node),
        hint=hint.format(inventory.node),
    )
