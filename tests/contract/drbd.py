"""What operations may rely on in the DRBD of a host: resources made, seen, promoted."""

from collections.abc import Callable

import pytest

from mcv.drivers.drbd_status import have_split
from mcv.errors import CommandFailed
from tests.contract import eventually
from tests.contract.resource import MINOR, RESOURCE, Stand, now, state, wait_connected, wait_well

UNKNOWN = "mcv-nobody-1"

# Of a resource that the kernel does not know


def what_is_unknown_has_no_status(stand: Stand) -> None:
    stand.born()
    assert stand.here.status(UNKNOWN) is None
    assert UNKNOWN not in stand.here.statuses()


def what_is_unknown_is_down_and_secondary_and_alone_already(stand: Stand) -> None:
    stand.born()
    stand.here.down(UNKNOWN)
    stand.here.demote(UNKNOWN)
    stand.here.disconnect(UNKNOWN)


def without_a_file_nothing_is_made(stand: Stand) -> None:
    stand.born()
    here = stand.here
    for verb in (here.metadata.create, here.up, here.adjust, here.promote, here.connect):
        with pytest.raises(CommandFailed, match="not defined in your config"):
            verb(UNKNOWN)

    assert here.status(UNKNOWN) is None


def what_is_down_can_be_asked_for_nothing(stand: Stand) -> None:
    stand.born()
    here = stand.here
    here.down(RESOURCE)
    here.down(RESOURCE)
    verbs: list[Callable[[], None]] = [
        lambda: here.promote(RESOURCE),
        lambda: here.connect(RESOURCE),
        lambda: here.verification.start(RESOURCE),
        lambda: here.verification.set_rate(RESOURCE, 1 << 20),
        lambda: here.metadata.new_current_uuid_clear_bitmap(RESOURCE, MINOR),
    ]

    for verb in verbs:
        with pytest.raises(CommandFailed):
            verb()

    assert here.status(RESOURCE) is None and MINOR not in here.minors()
    here.demote(RESOURCE)
    here.disconnect(RESOURCE)


# What is


def a_born_resource_is_in_step(stand: Stand) -> None:
    stand.born()
    for door in (stand.here, stand.there):
        seen = door.statuses()[RESOURCE]
        assert (seen.resource, seen.minor, seen.role, seen.disk) == (
            RESOURCE,
            MINOR,
            "Secondary",
            "UpToDate",
        )
        assert (seen.connection, seen.replication) == ("Connected", "Established")
        assert (seen.peer_role, seen.peer_disk, seen.out_of_sync) == ("Secondary", "UpToDate", 0)
        assert (seen.suspended, seen.done) == ("no", None)
        assert seen == door.status(RESOURCE)
        assert MINOR in door.minors() and len(door.minors()) == len(set(door.minors()))


def the_generations_of_both_are_one(stand: Stand) -> None:
    stand.born()
    mine, theirs = (door.metadata.generations(RESOURCE) for door in (stand.here, stand.there))

    assert mine.current & ~1 == theirs.current & ~1 != 0
    assert (mine.bitmap, mine.consistent, mine.up_to_date) == (0, True, True)
    assert not have_split(mine, theirs)


def the_host_tells_its_versions(stand: Stand) -> None:
    stand.born()
    stand.here.module.load()
    stand.here.module.load()

    module, utilities = stand.here.module.versions()

    assert module.startswith(f"{stand.here.module.generation()}.") and utilities[0].isdecimal()
    assert stand.here.module.generation() in (8, 9)


# Roles


def promoting_and_demoting_twice_is_harmless(stand: Stand) -> None:
    stand.born()
    for _ in range(2):
        stand.here.promote(RESOURCE)
        assert now(stand.here).is_primary
    assert now(stand.there).peer_role == "Primary"

    for _ in range(2):
        stand.here.demote(RESOURCE)
        assert not now(stand.here).is_primary
    assert now(stand.there).peer_role == "Secondary"


def while_the_peer_is_primary_a_promotion_is_refused(stand: Stand) -> None:
    stand.born()
    stand.there.promote(RESOURCE)

    with pytest.raises(CommandFailed, match="Multiple primaries not allowed"):
        stand.here.promote(RESOURCE)

    assert (now(stand.here).role, now(stand.there).role) == ("Secondary", "Primary")


def what_is_held_open_stays_up_and_primary(stand: Stand) -> None:
    stand.born()
    stand.here.promote(RESOURCE)
    stand.hold()

    try:
        with pytest.raises(CommandFailed, match="State change failed"):
            stand.here.down(RESOURCE)
        assert now(stand.here).is_primary
    finally:
        stand.release()


def a_primary_goes_down_as_a_secondary(stand: Stand) -> None:
    stand.born()
    stand.here.promote(RESOURCE)

    stand.here.down(RESOURCE)

    assert stand.here.status(RESOURCE) is None
    eventually(lambda: now(stand.there).connection == "Connecting")
    seen = now(stand.there)
    assert (seen.disk, seen.peer_role, seen.peer_disk) == ("UpToDate", "Unknown", "DUnknown")
    stand.here.up(RESOURCE)
    wait_well(stand)


def metadata_in_use_is_not_overwritten(stand: Stand) -> None:
    stand.born()
    with pytest.raises(CommandFailed, match="configured"):
        stand.here.metadata.create(RESOURCE)

    assert now(stand.here).both_up_to_date


# From nothing to a device


def without_metadata_it_comes_up_diskless_and_says_so(stand: Stand) -> None:
    stand.wiped()

    for _ in range(2):
        with pytest.raises(CommandFailed, match="No valid meta data found"):
            stand.here.up(RESOURCE)

    assert now(stand.here).disk == "Diskless"
    with pytest.raises(CommandFailed):
        stand.here.metadata.generations(RESOURCE)


def a_new_replica_alone_is_inconsistent_and_looks_for_its_peer(stand: Stand) -> None:
    stand.wiped()
    here = stand.here
    here.metadata.create(RESOURCE)
    here.metadata.create(RESOURCE)
    new = here.metadata.generations(RESOURCE)
    assert (new.consistent, new.up_to_date, new.bitmap) == (False, False, 0)
    with pytest.raises(CommandFailed):
        here.outdate(RESOURCE)

    here.up(RESOURCE)
    here.up(RESOURCE)

    seen = now(here)
    assert (seen.minor, seen.peer_role, seen.peer_disk) == (MINOR, "Unknown", "DUnknown")
    assert seen.replication == "Off" and seen.out_of_sync == seen.size > 0
    with pytest.raises(CommandFailed):
        here.metadata.new_current_uuid_clear_bitmap(RESOURCE, MINOR)
    with pytest.raises(CommandFailed, match="Need access to UpToDate data"):
        here.promote(RESOURCE)
    with pytest.raises(CommandFailed, match="Need a connection"):
        here.verification.start(RESOURCE)
    assert state(here) == ("Secondary", "Inconsistent", "Connecting")


def two_new_replicas_find_each_other_and_are_born(stand: Stand) -> None:
    stand.wiped()
    for door in (stand.here, stand.there):
        door.metadata.create(RESOURCE)
        door.up(RESOURCE)
    wait_connected(stand)
    for door in (stand.here, stand.there):
        assert (now(door).disk, now(door).peer_disk) == ("Inconsistent", "Inconsistent")
    with pytest.raises(CommandFailed, match="Need access to UpToDate data"):
        stand.here.promote(RESOURCE)

    stand.here.metadata.new_current_uuid_clear_bitmap(RESOURCE, MINOR)

    wait_well(stand)
    assert stand.here.metadata.generations(RESOURCE) == stand.there.metadata.generations(RESOURCE)
    for door in (stand.here, stand.there):
        door.metadata.new_current_uuid_clear_bitmap(RESOURCE, MINOR)
        assert now(door).out_of_sync == 0
