"""What operations may rely on in the mirrors of a running domain's disks."""

from typing import Protocol

import pytest

from mcv.drivers.domain_source import Source
from mcv.drivers.libvirt import Hypervisor
from mcv.errors import HypervisorFailed
from tests.contract import eventually
from tests.contract.domains import NAME


class Stand(Protocol):
    """A host's libvirt with the domain NAME, whose one disk is vda; and volumes for mirrors."""

    domains: Hypervisor

    def definition(self) -> str:
        """The XML of the domain."""

    def volume(self, name: str) -> str:
        """The path of a raw file as large as the disk vda."""


def _mirrored(stand: Stand, to: str) -> Hypervisor:
    """The domain, with a mirror that is ready."""
    stand.domains.define(stand.definition())
    stand.domains.start(NAME)
    stand.domains.mirrors.begin(NAME, "vda", Source("file", to), "raw")
    eventually(lambda: _is_ready(stand))
    return stand.domains


def _is_ready(stand: Stand) -> bool:
    seen = stand.domains.mirrors.seen(NAME, "vda")
    return seen is not None and seen.ready


def what_does_not_run_is_not_mirrored(stand: Stand) -> None:
    stand.domains.define(stand.definition())

    assert stand.domains.mirrors.source(NAME, "vda") == ""
    assert stand.domains.mirrors.seen(NAME, "vda") is None
    stand.domains.mirrors.end(NAME, "vda")
    with pytest.raises(HypervisorFailed, match="not running"):
        stand.domains.mirrors.begin(NAME, "vda", Source("file", stand.volume("a")), "raw")


def a_mirror_that_is_given_up_leaves_the_domain_where_it_was(stand: Stand) -> None:
    to = stand.volume("a")
    domains = _mirrored(stand, to)
    before = domains.mirrors.source(NAME, "vda")
    seen = domains.mirrors.seen(NAME, "vda")
    assert seen is not None and seen.path == to and seen.done <= seen.total

    for _ in range(2):
        domains.mirrors.end(NAME, "vda")

        assert domains.mirrors.seen(NAME, "vda") is None
    assert domains.mirrors.source(NAME, "vda") == before != to
    assert domains.state(NAME) == "running"


def a_paused_domain_goes_over_and_stands_still_afterwards(stand: Stand) -> None:
    to = stand.volume("a")
    domains = _mirrored(stand, to)
    domains.mirrors.begin(NAME, "vda", Source("file", to), "raw")
    domains.pause(NAME)

    for _ in range(2):
        domains.mirrors.pivot(NAME, "vda", to)

        assert domains.mirrors.source(NAME, "vda") == to
        assert domains.mirrors.seen(NAME, "vda") is None
    domains.mirrors.begin(NAME, "vda", Source("file", to), "raw")
    assert domains.mirrors.seen(NAME, "vda") is None
    assert domains.state(NAME) == "paused"
    domains.resume(NAME)
    assert domains.disks.targets(NAME) == ["vda"]


def a_disk_goes_where_it_is_mirrored_to_and_nowhere_else(stand: Stand) -> None:
    domains = _mirrored(stand, stand.volume("a"))
    other = stand.volume("b")

    with pytest.raises(HypervisorFailed, match="mirrored to"):
        domains.mirrors.begin(NAME, "vda", Source("file", other), "raw")
    with pytest.raises(HypervisorFailed):
        domains.mirrors.pivot(NAME, "vda", other)
    domains.mirrors.end(NAME, "vda")
    with pytest.raises(HypervisorFailed):
        domains.mirrors.pivot(NAME, "vda", other)
    with pytest.raises(HypervisorFailed):
        domains.mirrors.begin(NAME, "vdz", Source("file", other), "raw")

    assert domains.mirrors.source(NAME, "vda") not in ("", other)


def a_mirror_ends_with_its_domain(stand: Stand) -> None:
    domains = _mirrored(stand, stand.volume("a"))
    domains.stop(NAME)

    assert domains.mirrors.seen(NAME, "vda") is None
    domains.start(NAME)
    assert domains.mirrors.seen(NAME, "vda") is None
