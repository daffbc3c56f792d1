"""What operations may rely on in the volume groups of a host: vg0 is one, with room."""

from typing import Protocol

import pytest

from mcv.drivers.lvm import Lvm, Volume
from mcv.errors import CommandFailed

GROUP = "vg0"
NAME = "mcv-contract-9"
EXTENT = 4 * 1024**2
SIZE = 2 * EXTENT


class Stand(Protocol):
    """A host's volumes, none of them called NAME."""

    volumes: Lvm

    def hold(self, name: str) -> None:
        """Keep the volume's device open, so that it cannot be removed."""

    def release(self, name: str) -> None: ...


def a_volume_is_listed_once_made_and_takes_what_was_free(stand: Stand) -> None:
    before = stand.volumes.groups()[GROUP]
    made = Volume(group=GROUP, name=NAME, size=SIZE, thin=False, ours=True)

    stand.volumes.create(GROUP, NAME, SIZE)

    after = stand.volumes.groups()[GROUP]
    assert before.extent_size == EXTENT and before.size % EXTENT == 0
    assert (after.size, after.free) == (before.size, before.free - SIZE)
    assert stand.volumes.volume(GROUP, NAME) == made
    assert made in stand.volumes.volumes() and made in stand.volumes.volumes(GROUP)


def a_size_is_rounded_up_to_whole_extents(stand: Stand) -> None:
    stand.volumes.create(GROUP, NAME, EXTENT + 512)

    made = stand.volumes.volume(GROUP, NAME)
    assert made is not None and made.size == 2 * EXTENT


def making_the_same_twice_is_harmless_and_another_is_refused(stand: Stand) -> None:
    stand.volumes.create(GROUP, NAME, SIZE)

    stand.volumes.create(GROUP, NAME, SIZE)
    with pytest.raises(CommandFailed, match="exists"):
        stand.volumes.create(GROUP, NAME, 2 * SIZE)

    made = stand.volumes.volume(GROUP, NAME)
    assert made is not None and made.size == SIZE


def what_mcv_let_go_is_kept_and_not_taken_again(stand: Stand) -> None:
    stand.volumes.untag(GROUP, NAME)
    stand.volumes.create(GROUP, NAME, SIZE)

    for _ in range(2):
        stand.volumes.untag(GROUP, NAME)
        made = stand.volumes.volume(GROUP, NAME)
        assert made is not None and (made.ours, made.size) == (False, SIZE)

    with pytest.raises(CommandFailed, match="exists"):
        stand.volumes.create(GROUP, NAME, SIZE)
    stand.volumes.remove(GROUP, NAME)
    stand.volumes.create(GROUP, NAME, SIZE)
    made = stand.volumes.volume(GROUP, NAME)
    assert made is not None and made.ours


def what_does_not_fit_leaves_nothing(stand: Stand) -> None:
    free = stand.volumes.groups()[GROUP].free

    with pytest.raises(CommandFailed, match="insufficient free space"):
        stand.volumes.create(GROUP, NAME, free + EXTENT)

    assert stand.volumes.volume(GROUP, NAME) is None
    assert stand.volumes.groups()[GROUP].free == free


def a_group_that_is_not_there_is_empty_and_takes_nothing(stand: Stand) -> None:
    stand.volumes.create(GROUP, NAME, SIZE)

    assert "vg-nowhere" not in stand.volumes.groups()
    assert stand.volumes.volumes("vg-nowhere") == []
    assert stand.volumes.volume("vg-nowhere", NAME) is None
    with pytest.raises(CommandFailed, match="vg-nowhere"):
        stand.volumes.create("vg-nowhere", NAME, SIZE)
    stand.volumes.untag("vg-nowhere", NAME)
    stand.volumes.remove("vg-nowhere", NAME)

    made = stand.volumes.volume(GROUP, NAME)
    assert made is not None and made.ours


def removing_is_harmless_when_nothing_is_there(stand: Stand) -> None:
    stand.volumes.create(GROUP, NAME, SIZE)

    for _ in range(2):
        stand.volumes.remove(GROUP, NAME)
        assert stand.volumes.volume(GROUP, NAME) is None


def a_volume_in_use_is_not_removed(stand: Stand) -> None:
    stand.volumes.create(GROUP, NAME, SIZE)
    stand.hold(NAME)

    try:
        with pytest.raises(CommandFailed, match="in use"):
            stand.volumes.remove(GROUP, NAME)
        assert stand.volumes.volume(GROUP, NAME) is not None
    finally:
        stand.release(NAME)


def a_device_is_needed_to_activate_or_to_zero_it(stand: Stand) -> None:
    stand.volumes.create(GROUP, NAME, SIZE)

    for _ in range(2):
        stand.volumes.activate(GROUP, NAME)
        stand.volumes.zero(f"/dev/{GROUP}/{NAME}")

    with pytest.raises(CommandFailed):
        stand.volumes.activate(GROUP, "mcv-nobody-1")
    with pytest.raises(CommandFailed):
        stand.volumes.zero(f"/dev/{GROUP}/mcv-nobody-1")


def a_volume_grows_and_does_not_shrink(stand: Stand) -> None:
    stand.volumes.create(GROUP, NAME, SIZE)

    for size in (2 * SIZE, SIZE, SIZE + 512):
        stand.volumes.extend(GROUP, NAME, size)

        made = stand.volumes.volume(GROUP, NAME)
        assert made is not None and made.size == 2 * SIZE
    free = stand.volumes.groups()[GROUP].free
    with pytest.raises(CommandFailed, match="nsufficient free space"):
        stand.volumes.extend(GROUP, NAME, 2 * SIZE + free + EXTENT)
    assert stand.volumes.volume(GROUP, NAME) == made
    with pytest.raises(CommandFailed):
        stand.volumes.extend(GROUP, "mcv-nobody-1", SIZE)


def a_part_of_a_volume_is_zeroed_while_it_is_held_open(stand: Stand) -> None:
    stand.volumes.create(GROUP, NAME, SIZE)
    stand.hold(NAME)

    try:
        stand.volumes.zero_part(f"/dev/{GROUP}/{NAME}", EXTENT, EXTENT)
    finally:
        stand.release(NAME)
    with pytest.raises(CommandFailed):
        stand.volumes.zero_part(f"/dev/{GROUP}/mcv-nobody-1", 0, EXTENT)


def what_mcv_let_go_can_be_taken_over(stand: Stand) -> None:
    stand.volumes.create(GROUP, NAME, SIZE)
    stand.volumes.untag(GROUP, NAME)

    for _ in range(2):
        stand.volumes.tag(GROUP, NAME)
        made = stand.volumes.volume(GROUP, NAME)
        assert made is not None and (made.ours, made.size) == (True, SIZE)
    with pytest.raises(CommandFailed):
        stand.volumes.tag(GROUP, "mcv-nobody-1")
