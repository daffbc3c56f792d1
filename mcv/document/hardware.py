"""What a VM's machine is like: its processor's model, its firmware, what it boots from."""

from typing import Annotated, Literal

from msgspec import Meta, field

from mcv.document.generation import Value

Firmware = Literal["bios", "uefi"]
BootDevice = Literal["disk", "cd", "net"]

# What QEMU and libvirt call machines, processor models and features; "" is what is usual.
WORD = r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,63}"
Machine = Annotated[str, Meta(pattern=rf"^({WORD})?\Z")]
HardwareWord = Annotated[str, Meta(pattern=rf"^{WORD}\Z")]

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
