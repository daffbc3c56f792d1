"""What operations may rely on in what DRBD does between two hosts: connections and data."""

from collections.abc import Callable, Iterator

import pytest

from mcv.drbd.verification_monitor import End, follow
from mcv.drivers.drbd_status import Event, have_split
from mcv.errors import CommandFailed
from tests.contract import eventually
from tests.contract.resource import MINOR, RESOURCE, Stand, now, state, wait_well

# The data


def _followed(stand: Stand, meanwhile: Callable[[], None]) -> tuple[list[Event], list[Event], End]:
    """Verify from here: the dump, what happened, and how it ended."""
    seen: list[Event] = []
    with stand.here.verification.events(RESOURCE) as events:
        stand.here.verification.start(RESOURCE)
        meanwhile()

        def noting() -> Iterator[Event]:
            for event in events:
                seen.append(event)
                yield event

        ended = follow(noting())
    end = next(at for at, event in enumerate(seen) if event.ends_the_dump)
    return seen[:end], seen[end + 1 :], ended


def a_verification_of_equals_ends_well(stand: Stand) -> None:
    stand.born()
    dump, news, ended = _followed(stand, lambda: None)

    assert ended == End(finished=True, found=0)
    assert [event.kind for event in dump] == ["resource", "connection", "device", "peer-device"]
    assert all((event.verb, event.resource) == ("exists", RESOURCE) for event in dump)
    said = [event.replication for event in news if event.replication is not None]
    assert said == ["VerifyS", "Established"]
    assert now(stand.here).out_of_sync == 0 and now(stand.here).both_up_to_date


def what_differs_is_found_by_a_verification_and_mended_by_a_resync(stand: Stand) -> None:
    stand.born()
    stand.differ()
    assert now(stand.here).out_of_sync == 0

    assert _followed(stand, lambda: None)[2] == End(finished=True, found=4096)

    assert now(stand.here).both_up_to_date
    assert now(stand.here).out_of_sync == now(stand.there).out_of_sync == 4096
    # With both secondary the difference stays; with one primary it is copied from there.
    for primary, left in ((False, 4096), (True, 0)):
        if primary:
            stand.here.promote(RESOURCE)
        stand.here.disconnect(RESOURCE)
        stand.here.connect(RESOURCE)
        wait_well(stand)
        eventually(lambda: now(stand.there).out_of_sync == now(stand.here).out_of_sync)
        assert now(stand.here).out_of_sync == left
    assert _followed(stand, lambda: None)[2] == End(finished=True, found=0)
    assert now(stand.here).out_of_sync == 0


def a_verification_cut_off_does_not_end_well(stand: Stand) -> None:
    stand.born()
    stand.slow_down()

    _, news, ended = _followed(stand, lambda: stand.there.disconnect(RESOURCE))

    assert not ended.finished
    assert any(event.connection not in (None, "Connected") for event in news)


def a_verification_is_stopped_where_it_is_and_the_next_begins_anew(stand: Stand) -> None:
    stand.born()
    stand.slow_down()

    _, _, ended = _followed(stand, lambda: stand.here.verification.stop(RESOURCE))

    assert ended == End(finished=True, found=0)
    assert now(stand.here).both_up_to_date and state(stand.here)[2] == "Connected"
    stand.here.verification.stop(RESOURCE)
    # What differs stands in front of where the first one was stopped.
    stand.differ()
    stand.speed_up()
    assert _followed(stand, lambda: None)[2] == End(finished=True, found=4096)


def a_rate_can_be_set_until_the_next_adjust(stand: Stand) -> None:
    stand.born()
    stand.here.verification.set_rate(RESOURCE, 1 << 20)

    stand.here.adjust(RESOURCE)

    assert state(stand.here) == ("Secondary", "UpToDate", "Connected")


def a_detached_replica_is_attached_and_gets_what_was_written_meanwhile(stand: Stand) -> None:
    stand.born()
    stand.detach()
    assert state(stand.there) == ("Secondary", "Diskless", "Connected")
    eventually(lambda: now(stand.here).peer_disk == "Diskless")
    stand.here.promote(RESOURCE)

    for _ in range(2):
        stand.there.attach(RESOURCE)

    wait_well(stand)
    stand.here.demote(RESOURCE)


# The connection


def who_disconnects_stands_alone_and_the_other_looks_for_it(stand: Stand) -> None:
    stand.born()
    for _ in range(2):
        stand.here.disconnect(RESOURCE)
        assert state(stand.here) == ("Secondary", "UpToDate", "StandAlone")
    assert state(stand.there) == ("Secondary", "UpToDate", "Connecting")
    assert not now(stand.here).connected and not now(stand.there).connected
    with pytest.raises(CommandFailed, match="Need a connection"):
        stand.here.verification.start(RESOURCE)

    for _ in range(2):
        stand.here.connect(RESOURCE)
        assert not now(stand.here).is_standalone

    wait_well(stand)
    stand.here.connect(RESOURCE)
    assert state(stand.here) == ("Secondary", "UpToDate", "Connected")


def adjusting_brings_up_what_is_down_and_joins_what_stands_alone(stand: Stand) -> None:
    stand.born()
    stand.there.down(RESOURCE)
    stand.here.disconnect(RESOURCE)

    stand.here.adjust(RESOURCE)
    stand.there.adjust(RESOURCE)

    wait_well(stand)
    stand.here.adjust(RESOURCE)
    assert state(stand.here) == ("Secondary", "UpToDate", "Connected")


def who_parts_from_a_primary_is_outdated(stand: Stand) -> None:
    stand.born()
    stand.there.promote(RESOURCE)

    stand.here.disconnect(RESOURCE)

    assert state(stand.here) == ("Secondary", "Outdated", "StandAlone")
    assert (now(stand.there).disk, now(stand.there).peer_disk) == ("UpToDate", "Outdated")
    with pytest.raises(CommandFailed, match="Need access to UpToDate data"):
        stand.here.promote(RESOURCE)
    stand.here.connect(RESOURCE)
    wait_well(stand)


def a_replica_that_comes_up_alone_is_consistent_and_may_be_promoted(stand: Stand) -> None:
    stand.born()
    stand.there.down(RESOURCE)
    stand.here.down(RESOURCE)
    before = stand.here.metadata.generations(RESOURCE)

    stand.here.up(RESOURCE)

    assert state(stand.here) == ("Secondary", "Consistent", "Connecting")
    stand.here.promote(RESOURCE)
    assert state(stand.here) == ("Primary", "UpToDate", "Connecting")
    assert now(stand.here).peer_disk == "Outdated"
    after = stand.here.metadata.generations(RESOURCE)
    assert after.data != before.data == after.bitmap & ~1
    stand.there.up(RESOURCE)
    wait_well(stand)
    assert stand.there.metadata.generations(RESOURCE).current & ~1 == after.current & ~1


def two_that_were_primary_apart_have_split_and_stand_alone(stand: Stand) -> None:
    stand.born()
    for door in (stand.here, stand.there):
        door.disconnect(RESOURCE)
    for door in (stand.here, stand.there):
        door.promote(RESOURCE)
        door.demote(RESOURCE)

    for door in (stand.here, stand.there):
        door.connect(RESOURCE)

    # Two that connect at the same instant try again after their time-outs, more than once. The
    # side that sees the split first closes the connection: the other may not have seen it, and
    # goes on waiting for a peer that stands alone.
    sides = stand.here, stand.there
    eventually(lambda: any(now(door).is_standalone for door in sides), 120)
    eventually(lambda: not any(now(door).connected for door in sides))
    for door in sides:
        door.disconnect(RESOURCE)
    mine, theirs = (door.metadata.generations(RESOURCE) for door in (stand.here, stand.there))
    assert have_split(mine, theirs)
    # Primary again, alone, begins no other generation.
    stand.here.promote(RESOURCE)
    assert stand.here.metadata.generations(RESOURCE).data == mine.data
    # The side that gives up its data is made like the other, which may be Primary meanwhile.
    stand.here.connect(RESOURCE)
    stand.there.connect_discarding(RESOURCE)
    wait_well(stand)
    assert now(stand.here).is_primary
    for door in (stand.here, stand.there):
        assert door.metadata.generations(RESOURCE).data == mine.data


def outdating_takes_only_where_the_peer_is_away(stand: Stand) -> None:
    stand.born()
    with pytest.raises(CommandFailed, match="changed nothing"):
        stand.here.outdate(RESOURCE)
    assert now(stand.here).both_up_to_date
    stand.there.down(RESOURCE)

    for door in (stand.here, stand.there):
        door.outdate(RESOURCE)
        door.outdate(RESOURCE)

    assert state(stand.here)[:2] == ("Secondary", "Outdated")
    assert stand.there.metadata.generations(RESOURCE).up_to_date is False
    with pytest.raises(CommandFailed, match="Need access to UpToDate data"):
        stand.here.promote(RESOURCE)
    for _ in range(2):
        stand.here.promote_by_force(RESOURCE)
        assert state(stand.here)[:2] == ("Primary", "UpToDate")


def a_stale_replica_that_is_pardoned_goes_on_from_the_generation_of_both(stand: Stand) -> None:
    stand.born()
    born = stand.here.metadata.generations(RESOURCE)
    stand.there.down(RESOURCE)
    stand.here.outdate(RESOURCE)

    for _ in range(2):
        stand.here.clear_outdated(RESOURCE, MINOR, stand.backing)

    assert state(stand.here) == ("Secondary", "Consistent", "Connecting")
    stand.here.promote(RESOURCE)
    alone = stand.here.metadata.generations(RESOURCE)
    assert alone.data != born.data == alone.bitmap & ~1
    # Who wrote nothing meanwhile follows it, without a hand.
    stand.there.up(RESOURCE)
    wait_well(stand)
    assert stand.there.metadata.generations(RESOURCE).data == alone.data


def a_size_in_the_file_is_taken_up_and_never_a_smaller_one(stand: Stand) -> None:
    stand.born()
    size = now(stand.here).size
    stand.give_size(size)
    for _ in range(2):
        for door in (stand.here, stand.there):
            door.adjust(RESOURCE)
        wait_well(stand)
        assert now(stand.here).size == now(stand.there).size == size

    stand.give_size(size - 4096)
    for verb in (stand.here.adjust, stand.here.up):
        with pytest.raises(CommandFailed, match="gives the device"):
            verb(RESOURCE)
    stand.here.promote(RESOURCE)
    with pytest.raises(CommandFailed, match="gives the device"):
        stand.here.adjust(RESOURCE)
    stand.here.demote(RESOURCE)

    assert now(stand.here).size == now(stand.there).size == size
    stand.give_size(size)
