"""The bytes that a stream carries are kept in their order, however they come and go."""

import random

from mcv.rpc import pump


def test_a_store_hands_on_what_it_was_given() -> None:
    store, chance = pump._Store(), random.Random(7)
    given, taken = bytearray(), bytearray()

    for _ in range(400):
        if len(store) < pump.ROOM and chance.random() < 0.6:
            space = store.space()
            assert len(space) == pump.CHUNK
            data = chance.randbytes(chance.choice([1, 16384, len(space)]))
            space[: len(data)] = data
            store.extend(len(data))
            given += data
        first = store.first()
        count = min(len(first), chance.choice([0, 1, 5000, pump.CHUNK]))
        taken += first[:count]
        store.drop(count)
        assert len(store) == len(given) - len(taken)
    while store:
        taken += store.first()
        store.drop(len(store.first()))

    assert len(given) > 10 * pump.ROOM and taken == given


def test_a_store_takes_more_than_its_room_where_a_guard_gives_it() -> None:
    store, whole = pump._Store(), random.Random(8).randbytes(3 * pump.ROOM)
    store.append(whole[:10])
    store.drop(3)

    store.append(whole[10:])

    taken = bytearray()
    while store:
        taken += store.first()
        store.drop(len(store.first()))
    assert taken == whole[3:]
