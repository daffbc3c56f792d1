"""What operations may rely on in a thin pool of a host: vg0/POOL is one, with room."""

from typing import Protocol

import pytest

from mcv.drivers.lvm import Lvm, Volume
from mcv.errors import CommandFailed
from tests.contract.volumes import EXTENT, GROUP, NAME, SIZE

POOL = "contract-thin"


class Stand(Protocol):
    """A host's volumes, none of them called NAME."""

    volumes: Lvm


def a_thin_volume_is_of_its_pool_and_takes_nothing_of_the_group(stand: Stand) -> None:
    before = stand.volumes.groups()[GROUP].free

    stand.volumes.create_thin(GROUP, POOL, NAME, SIZE)

    made = Volume(group=GROUP, name=NAME, size=SIZE, thin=True, ours=True, pool=POOL)
    assert stand.volumes.volume(GROUP, NAME) == made
    assert stand.volumes.groups()[GROUP].free == before
    pool = stand.volumes.volume(GROUP, POOL)
    assert pool is not None and pool.is_pool and not pool.ours and pool.pool == ""


def its_size_is_rounded_up_and_may_be_larger_than_the_pool(stand: Stand) -> None:
    stand.volumes.create_thin(GROUP, POOL, NAME, 1024**4 + 512)

    made = stand.volumes.volume(GROUP, NAME)
    assert made is not None and made.size == 1024**4 + EXTENT


def making_the_same_thin_volume_twice_is_harmless_and_another_is_refused(stand: Stand) -> None:
    for _ in range(2):
        stand.volumes.create_thin(GROUP, POOL, NAME, SIZE)
    with pytest.raises(CommandFailed, match="exists"):
        stand.volumes.create_thin(GROUP, POOL, NAME, 2 * SIZE)
    with pytest.raises(CommandFailed, match="exists"):
        stand.volumes.create(GROUP, NAME, SIZE)
    stand.volumes.untag(GROUP, NAME)
    with pytest.raises(CommandFailed, match="exists"):
        stand.volumes.create_thin(GROUP, POOL, NAME, SIZE)

    made = stand.volumes.volume(GROUP, NAME)
    assert made is not None and (made.size, made.pool, made.ours) == (SIZE, POOL, False)


def without_its_pool_no_thin_volume_is_made(stand: Stand) -> None:
    with pytest.raises(CommandFailed):
        stand.volumes.create_thin(GROUP, "nowhere", NAME, SIZE)

    assert stand.volumes.volume(GROUP, NAME) is None


def a_thin_volume_is_activated_and_removed_like_another(stand: Stand) -> None:
    stand.volumes.create_thin(GROUP, POOL, NAME, SIZE)

    for _ in range(2):
        stand.volumes.activate(GROUP, NAME)
    for _ in range(2):
        stand.volumes.remove(GROUP, NAME)
        assert stand.volumes.volume(GROUP, NAME) is None
    assert stand.volumes.volume(GROUP, POOL) is not None
