"""The fake guests of the benchmark are told of as libvirt's would be."""

from mcv.drivers.libvirt_load import used
from tests.bench import watched


def test_every_figure_of_a_guest_is_there() -> None:
    seen = used(watched.row(disks=2))

    assert None not in (seen.cpu, seen.memory, seen.read, seen.written)
    assert seen.read == 2 * (1 << 20)


def test_all_guests_are_read_with_what_reads_them_in_the_daemon() -> None:
    assert list(watched.load_of(3).used()) == ["vm000", "vm001", "vm002"]
