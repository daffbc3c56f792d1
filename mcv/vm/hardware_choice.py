"""The machine of a new VM: chipset, firmware, processor and order of booting, judged."""

import re
from typing import cast, get_args

from msgspec.structs import replace

from mcv.document.generation import Value
from mcv.document.hardware import WORD, BootDevice, Cpu, Firmware
from mcv.document.model import Cluster, Vm
from mcv.document.schema import older_member
from mcv.drivers import firmware
from mcv.errors import Refused
from mcv.vm.capacity import Capacity

NEW = "q35"
BOOT_DEVICES: tuple[BootDevice, ...] = get_args(BootDevice)
FIRMWARES: tuple[Firmware, ...] = get_args(Firmware)


# swtpm's state is in a directory of libvirt's, which `undefine` deletes: a move or a takeover
# would leave the guest without its keys, in silence.
NO_TPM = Refused(
    "No VM can have a TPM: what the TPM holds would be lost when the VM moves to another node.",
    "Leave --tpm out. A guest that has to have a TPM cannot run in this cluster.",
)


class HardwareRequest(Value, frozen=True, kw_only=True):
    """What an operator asks for, as typed; None is what is usual."""

    machine: str | None = None
    firmware: str | None = None
    boot: list[str] | None = None
    cpu_model: str | None = None
    tpm: bool = False


UNNAMED = HardwareRequest()


def with_hardware(cluster: Cluster, vm: Vm, asked: HardwareRequest, problems: list[Refused]) -> Vm:
    """The VM with the machine that was asked for, or the usual one; what is wrong to problems.

    A document of before schema 3 can write none of it down: there a VM is what it was before.
    """
    if cluster.schema < 3:
        if asked != UNNAMED:
            problems.append(
                older_member("--machine, --firmware, --boot and --cpu-model cannot be written down")
            )
        return vm
    before = len(problems)
    if asked.tpm:
        problems.append(NO_TPM)
    for option, word in (("--machine", asked.machine), ("--cpu-model", asked.cpu_model)):
        if word is not None and not re.fullmatch(WORD, word):
            problems.append(Refused(f"{option} {word!r} makes no sense."))
    if asked.firmware not in (None, *FIRMWARES):
        problems.append(_no_choice("--firmware", str(asked.firmware), FIRMWARES))
    problems += boot_problems(asked.boot or [])
    if len(problems) > before:
        return vm
    return replace(
        vm,
        machine=asked.machine or NEW,
        firmware=cast(Firmware, asked.firmware or "bios"),
        boot=tuple(cast(list[BootDevice], asked.boot or [])),
        cpu=Cpu(model=asked.cpu_model) if asked.cpu_model else cluster.cpu_baseline,
    )


def boot_problems(boot: list[str]) -> list[Refused]:
    found = [
        _no_choice("--boot", device, BOOT_DEVICES) for device in boot if device not in BOOT_DEVICES
    ]
    if len(set(boot)) != len(boot):
        found.append(Refused(f"--boot {','.join(boot)} names a device twice."))
    return found


def _no_choice(option: str, word: str, choices: tuple[str, ...]) -> Refused:
    return Refused(f"{option} {word} makes no sense.", f"It can be: {', '.join(choices)}.")


def why_not(node: str, vm: Vm, can: Capacity) -> list[Refused]:
    """Why a node cannot run the VM's machine; a node that tells no machines may know it."""
    found = []
    if can.machines and vm.machine and vm.machine not in can.machines:
        found.append(
            Refused(
                f"QEMU on {node} knows no machine {vm.machine}.",
                "See: qemu-system-x86_64 -machine help",
            )
        )
    if vm.firmware == "uefi" and not can.has_uefi:
        found.append(
            Refused(f"{node} has no UEFI firmware.", f"On {node}: apt install {firmware.PACKAGE}")
        )
    return found
