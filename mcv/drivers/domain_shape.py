"""What a domain is like, read from its XML, and in what two of them differ.

The XML is mcv's own, or as libvirt gives it back, also of a domain that runs. libvirt adds what
is usual by itself, so only what mcv writes is read.
"""

import xml.etree.ElementTree as ET
from collections.abc import Iterator

from msgspec.structs import replace

from mcv import sizes
from mcv.document.generation import Value
from mcv.drivers import domain_devices, host_device_xml
from mcv.drivers.domain_reading import MIB, bytes_of, mark_of, network_of
from mcv.drivers.domain_xml import CD

WHOLE = 100  # percent of one CPU


class DiskShape(Value, frozen=True, kw_only=True):
    cache: str
    discard: bool
    iops: int
    bandwidth: int


class NicShape(Value, frozen=True, kw_only=True):
    network: str
    model: str
    vlan: int
    mtu: int
    link: str


class Shape(Value, frozen=True, kw_only=True):
    """What a domain is like. Memory is in MiB, as fine as libvirt keeps it.

    `memory` is what the guest has, `most_memory` what it began with; so with CPUs. `cpu` is the
    processor that was asked for, None where only libvirt's own words for it are known.
    """

    memory: int
    most_memory: int
    cpus: int
    most_cpus: int
    cpu: str | None
    cpu_model: str
    cpu_limit: int
    firmware: str
    boot: tuple[str, ...]
    kernel: tuple[str, ...]
    cd: str
    clock: str
    video: str
    keyboard: str
    watchdog: str
    overlay: str
    host_devices: tuple[str, ...]
    disks: dict[str, DiskShape]
    nics: dict[str, NicShape]


class Difference(Value, frozen=True, kw_only=True):
    """What a domain that runs has otherwise; `is_live` is whether libvirt can bring it about."""

    text: str
    is_live: bool = False


def shape(xml: str) -> Shape:
    """Read a definition. Precondition: it is a domain's."""
    root = ET.fromstring(xml)
    machine = domain_devices.hardware(xml)
    most_memory = bytes_of(root.find("memory")) // MIB
    current = root.find("currentMemory")
    vcpu = root.find("vcpu")
    most_cpus = int(root.findtext("vcpu", "1"))
    mark = mark_of(xml)
    return Shape(
        memory=most_memory if current is None else bytes_of(current) // MIB,
        most_memory=most_memory,
        cpus=most_cpus if vcpu is None else int(vcpu.get("current", most_cpus)),
        most_cpus=most_cpus,
        cpu=None if mark is None else mark.cpu,
        cpu_model=_cpu_model(root),
        cpu_limit=_cpu_limit(root),
        firmware="uefi" if root.find("os/loader") is not None else "bios",
        boot=machine.boot,
        kernel=(machine.kernel, machine.initrd, machine.append),
        cd=machine.cd,
        clock=_clock(root),
        video=_of(root, "devices/video/model", "type"),
        keyboard=_of(root, "devices/graphics", "keymap"),
        watchdog=_of(root, "devices/watchdog", "action"),
        overlay="" if mark is None else mark.overlay,
        host_devices=tuple(map(host_device_xml.words_of, root.iterfind("devices/hostdev"))),
        disks=dict(_disks(root)),
        nics=dict(_nics(root)),
    )


def differences(running: Shape, wanted: Shape) -> list[Difference]:
    """In what a domain that runs is not as its next start would make it.

    Disks that only one of the two has are not told: other findings tell of them.
    """
    return [
        *_memory(running, wanted),
        *_cpus(running, wanted),
        *_processor(running, wanted),
        *_limit(running, wanted),
        *_plain(running, wanted),
        *_boot(running, wanted),
        *_overlay(running, wanted),
        *_host_devices(running, wanted),
        *_of_disks(running, wanted),
        *_of_nics(running, wanted),
    ]


def _memory(running: Shape, wanted: Shape) -> Iterator[Difference]:
    if running.memory == wanted.memory:
        return
    text = f"memory {_mib(wanted.memory)} (its guest has {_mib(running.memory)}"
    if wanted.memory > running.most_memory:
        text += f", and began with {_mib(running.most_memory)}"
    yield Difference(text=f"{text})", is_live=wanted.memory <= running.most_memory)


def _cpus(running: Shape, wanted: Shape) -> Iterator[Difference]:
    """More CPUs are plugged in; none is pulled out, which few guests survive."""
    if running.cpus == wanted.cpus:
        return
    is_live = running.cpus < wanted.cpus <= running.most_cpus
    text = f"{wanted.cpus} CPU{'s'[: wanted.cpus != 1]} (it runs with {running.cpus})"
    yield Difference(text=text, is_live=is_live)


def _processor(running: Shape, wanted: Shape) -> Iterator[Difference]:
    """A domain of an mcv that marked no processor is judged by libvirt's name for its model."""
    if running.cpu is not None:
        if running.cpu != wanted.cpu:
            yield _next("processor", wanted.cpu or "", running.cpu)
    elif wanted.cpu_model and wanted.cpu_model != running.cpu_model:
        yield _next("processor", wanted.cpu_model, running.cpu_model)


def _limit(running: Shape, wanted: Shape) -> Iterator[Difference]:
    if running.cpu_limit != wanted.cpu_limit:
        text = f"CPU limit {limit_text(wanted.cpu_limit)} (now {limit_text(running.cpu_limit)})"
        yield Difference(text=text, is_live=True)


def _plain(running: Shape, wanted: Shape) -> Iterator[Difference]:
    for what, new, old in (
        ("firmware", wanted.firmware, running.firmware),
        ("kernel", " ".join(wanted.kernel).strip(), " ".join(running.kernel).strip()),
        ("clock", wanted.clock, running.clock),
        ("video", wanted.video, running.video),
        ("keyboard", wanted.keyboard, running.keyboard),
        ("watchdog", wanted.watchdog, running.watchdog),
    ):
        if new != old:
            yield _next(what, new, old)
    if wanted.cd != running.cd:
        yield Difference(text=f"CD {wanted.cd or 'none'} (now {running.cd or 'none'})")


def _overlay(running: Shape, wanted: Shape) -> Iterator[Difference]:
    if running.overlay != wanted.overlay:
        words = ("an overlay", "none") if wanted.overlay else ("no overlay", "one")
        if running.overlay and wanted.overlay:
            words = ("its overlay", "another one")
        yield Difference(text=f"{words[0]} (it runs with {words[1]})")


def _host_devices(running: Shape, wanted: Shape) -> Iterator[Difference]:
    for device in wanted.host_devices:
        if device not in running.host_devices:
            yield Difference(text=f"{device} of the host")
    for device in running.host_devices:
        if device not in wanted.host_devices:
            yield Difference(text=f"no {device} of the host (its guest has it)")


def _boot(running: Shape, wanted: Shape) -> Iterator[Difference]:
    """The kinds of devices, and the order of those that both have.

    A disk that was plugged in since the start is in no order of a domain that runs.
    """
    old = [device for device in running.boot if device in wanted.boot]
    new = [device for device in wanted.boot if device in running.boot]
    if old != new or _kinds(running.boot) != _kinds(wanted.boot):
        yield _next("boot order", ", ".join(wanted.boot), ", ".join(running.boot))


def _kinds(boot: tuple[str, ...]) -> list[str]:
    kinds = ("net" if ":" in device else "cd" if device == CD else "disk" for device in boot)
    return list(dict.fromkeys(kinds))


def _of_disks(running: Shape, wanted: Shape) -> Iterator[Difference]:
    for target in sorted(running.disks.keys() & wanted.disks.keys()):
        old, new = running.disks[target], wanted.disks[target]
        if (old.cache, old.discard) != (new.cache, new.discard):
            yield _next(f"disk {target}", _cache_text(new), _cache_text(old))
        if (old.iops, old.bandwidth) != (new.iops, new.bandwidth):
            text = f"limit of disk {target}: {_tune_text(new)} (now {_tune_text(old)})"
            yield Difference(text=text, is_live=True)


def _of_nics(running: Shape, wanted: Shape) -> Iterator[Difference]:
    for mac in sorted(running.nics.keys() & wanted.nics.keys()):
        old, new = running.nics[mac], wanted.nics[mac]
        if not new.model:  # an overlay's, which leaves it to libvirt
            old = replace(old, model="")
        if old != new:
            yield _next(f"card {mac}", _nic_text(new), _nic_text(old))
    for mac in sorted(wanted.nics.keys() - running.nics.keys()):
        yield _next(f"card {mac}", _nic_text(wanted.nics[mac]), "")
    for mac in sorted(running.nics.keys() - wanted.nics.keys()):
        yield Difference(text=f"no card {mac} (its guest has not let go of it)")


def _next(what: str, new: str, old: str) -> Difference:
    return Difference(text=f"{what} {new or 'none'} (it runs with {old or 'none'})")


# In words


def _mib(number: int) -> str:
    return sizes.shown(number * MIB)


def limit_text(percent: int) -> str:
    return f"{percent} % of one CPU" if percent else "none"


def _cache_text(disk: DiskShape) -> str:
    return f"cache {disk.cache}, discard {'yes' if disk.discard else 'no'}"


def _tune_text(disk: DiskShape) -> str:
    words = [f"{disk.iops} iops"] * bool(disk.iops)
    words += [f"{sizes.shown(disk.bandwidth)}/s"] * bool(disk.bandwidth)
    return ", ".join(words) or "none"


def _nic_text(nic: NicShape) -> str:
    vlan = f", VLAN {nic.vlan}" if nic.vlan else ""
    mtu = f", MTU {nic.mtu}" if nic.mtu else ""
    return f"{nic.model or 'a card'} on {nic.network}{vlan}{mtu}, link {nic.link}"


# In XML


def _cpu_model(root: ET.Element) -> str:
    """The model as libvirt has it: of what runs, never host-model, which it makes a model of."""
    cpu = root.find("cpu")
    if cpu is None or cpu.get("mode") == "host-model":
        return ""
    if cpu.get("mode") == "host-passthrough":
        return "host-passthrough"
    return cpu.findtext("model", "")


def _cpu_limit(root: ET.Element) -> int:
    """In percent of one CPU; without a limit libvirt writes none, or a negative quota."""
    quota = int(root.findtext("cputune/global_quota", "0"))
    period = int(root.findtext("cputune/global_period", "100000"))
    return max(0, round(quota * WHOLE / period))


def _clock(root: ET.Element) -> str:
    clock = root.find("clock")
    if clock is None:
        return "utc"
    return clock.get("timezone", "") or clock.get("offset", "utc")


def _disks(root: ET.Element) -> Iterator[tuple[str, DiskShape]]:
    for disk in root.iterfind("devices/disk[@device='disk']"):
        yield (
            _of(disk, "target", "dev"),
            DiskShape(
                cache=_of(disk, "driver", "cache"),
                discard=_of(disk, "driver", "discard") == "unmap",
                iops=int(disk.findtext("iotune/total_iops_sec", "0")),
                bandwidth=int(disk.findtext("iotune/total_bytes_sec", "0")),
            ),
        )


def _nics(root: ET.Element) -> Iterator[tuple[str, NicShape]]:
    for nic in root.iterfind("devices/interface"):
        yield (
            _of(nic, "mac", "address"),
            NicShape(
                network=network_of(nic),
                model=_of(nic, "model", "type"),
                vlan=int(_of(nic, "vlan/tag", "id") or "0"),
                mtu=int(_of(nic, "mtu", "size") or "0"),
                link=_of(nic, "link", "state") or "up",
            ),
        )


def _of(parent: ET.Element, path: str, attribute: str) -> str:
    found = parent.find(path)
    return "" if found is None else found.get(attribute, "")
