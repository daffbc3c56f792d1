"""What the lab says is missing of what a guest was told is written."""

from tests.lab.linux_guest import BLOCKS
from tests.lab.numbers import missing


def written(last: int, short: int = 0) -> list[int]:
    """The blocks after so many writes, of which the last few never came to the disk."""
    blocks = [0] * BLOCKS
    for number in range(1, last + 1 - short):
        blocks[number % BLOCKS] = number
    return blocks


def test_nothing_is_missing_where_all_is_there_or_more() -> None:
    assert missing(set(range(1, 11)), written(10)) == []
    assert missing(set(range(1, 11)), written(12)) == []


def test_blocks_that_were_written_again_since_are_not_missing() -> None:
    acknowledged = set(range(1, BLOCKS + 500))

    assert missing(acknowledged, written(BLOCKS + 499)) == []


def test_the_last_ones_are_missing_in_the_first_round_and_later() -> None:
    assert missing(set(range(1, 11)), written(10, short=2)) == [9, 10]
    last = BLOCKS + 7
    assert missing(set(range(1, last + 1)), written(last, short=1)) == [last]


def test_a_block_with_a_number_that_is_not_its_own_counts_as_lost() -> None:
    blocks = written(5)
    blocks[3] = BLOCKS + 4

    assert missing({3}, blocks) == [3]
