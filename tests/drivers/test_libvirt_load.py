"""What domains have used, as libvirt tells it: sums over disks, and what it leaves out."""

from typing import Any

import libvirt
import pytest

from mcv.drivers.libvirt import Hypervisor
from mcv.drivers.libvirt_load import Used, used
from mcv.errors import HypervisorFailed
from tests.drivers.test_libvirt import hypervisor as hypervisor

# As libvirt 9.0.0 and QEMU 7.2 tell it of a guest with a disk and an empty drive.
ROW = {
    "state.state": 1,
    "cpu.time": 12_500_000_000,
    "cpu.user": 3_000_000_000,
    "cpu.system": 1_000_000_000,
    "balloon.current": 65536,
    "balloon.maximum": 65536,
    "balloon.rss": 131072,
    "block.count": 2,
    "block.0.name": "vda",
    "block.0.rd.reqs": 10,
    "block.0.rd.bytes": 40960,
    "block.0.wr.bytes": 8192,
    "block.1.name": "sda",
    "block.1.rd.bytes": 100,
    "block.1.wr.bytes": 0,
}


def without(row: dict[str, Any], *words: str) -> dict[str, Any]:
    return {key: value for key, value in row.items() if not key.endswith(words)}


@pytest.mark.parametrize(
    ("story", "row", "seen"),
    [
        ("all", ROW, Used(cpu=12.5, memory=128 << 20, read=41060, written=8192)),
        (
            "no process's memory",
            without(ROW, "rss"),
            Used(cpu=12.5, memory=64 << 20, read=41060, written=8192),
        ),
        (
            "a monitor that is busy",
            without(ROW, ".bytes"),
            Used(cpu=12.5, memory=128 << 20, read=None, written=None),
        ),
        ("no disk", {"block.count": 0}, Used(cpu=None, memory=None, read=0, written=0)),
        ("nothing", {}, Used(cpu=None, memory=None, read=0, written=0)),
    ],
)
def test_a_row_is_read(story: str, row: dict[str, Any], seen: Used) -> None:
    assert used(row) == seen, story


def test_a_single_question_tells_of_the_vms_that_run(
    hypervisor: Hypervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert hypervisor.load.used() == {}
    hypervisor.start("web1")
    ask = libvirt.virConnect.getAllDomainStats
    asked: list[int] = []

    def with_counts(connection: Any, stats: int, flags: int) -> Any:
        asked.append(stats)
        return [(domain, {**row, **ROW}) for domain, row in ask(connection, stats, flags)]

    monkeypatch.setattr(libvirt.virConnect, "getAllDomainStats", with_counts)

    # The domain `test` runs too: it is no VM.
    assert list(hypervisor.load.used()) == ["web1"]
    assert len(asked) == 1


def test_an_error_of_libvirt_is_told(
    hypervisor: Hypervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise libvirt.libvirtError("no stats")

    monkeypatch.setattr(libvirt.virConnect, "getAllDomainStats", fail)

    with pytest.raises(HypervisorFailed, match="Could not read the load"):
        hypervisor.load.used()
