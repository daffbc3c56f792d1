"""What a VM's machine is like: its processor's model, its firmware, what it boots from."""

from typing import Annotated, Literal

from msgspec import Meta, field

from mcv.document.generation import Value
from mcv.document.names import Name

Firmware = Literal["bios", "uefi"]
BootDevice = Literal["disk", "cd", "net"]

# What QEMU and libvirt call machines, processor models and features; "" is what is usual.
WORD = r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,63}"
Machine = Annotated[str, Meta(pattern=rf"^({WORD})?\Z")]
HardwareWord = Annotated[str, Meta(pattern=rf"^{WORD}\Z")]

# What QEMU does when the guest's watchdog is not fed; "" is no such device.
Watchdog = Literal["", "reset", "poweroff", "pause", "none", "dump", "inject-nmi"]
Video = Literal["", "virtio", "vga", "qxl", "cirrus", "bochs", "ramfb", "none"]
Keymap = Annotated[str, Meta(pattern=r"^([a-z]{2,3}(-[a-z]{2,8})?)?\Z")]  # "de", "fr-ca"
# "utc", "localtime", or the name of a zone.
Clock = Annotated[
    str, Meta(pattern=r"^([A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*)?\Z", max_length=64)
]

USUAL_BOOT: tuple[BootDevice, ...] = ("disk", "cd")
# Processor models that are the host's own, whatever the host is.
OF_THE_HOST = ("host-model", "host-passthrough")


class Cpu(Value, frozen=True, kw_only=True):
    """A processor: a model of libvirt's, and what of it is required or switched off."""

    model: HardwareWord
    features: dict[HardwareWord, Literal["require", "disable"]] = field(default_factory=dict)

    @property
    def is_the_hosts(self) -> bool:
        return self.model in OF_THE_HOST


class Device(Value, frozen=True, kw_only=True):
    """A device of a host that a VM has: its VM runs on that node alone."""

    type: Literal["usb", "pci"]
    address: Annotated[str, Meta(pattern=r"^[0-9A-Za-z][0-9A-Za-z:.-]{0,63}\Z")]
    node: Name
