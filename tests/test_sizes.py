"""Sizes as people type them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcv import sizes
from mcv.errors import Refused


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("64MiB", 64 * 1024**2),
        ("10 GB", 10**10),
        (" 1.5GiB ", 3 * 1024**3 // 2),
        ("512B", 512),
        ("0.5KiB", 512),
        ("2TiB", 2 * 1024**4),
        ("96M", 96 * 1024**2),
        ("2 T", 2 * 1024**4),
        ("1kB", 1000),
        ("1KB", 1000),
    ],
)
def test_a_size_is_a_number_and_its_unit(text: str, size: int) -> None:
    assert sizes.parse(text, "disk") == size


@pytest.mark.parametrize(
    "text",
    ["", "64", "MiB", "64mib", "64Mib", "64m", "-1GiB", "1e3MiB", "1,5GiB", "1 0MiB", "٦٤MiBx"],
)
def test_what_is_no_size_is_refused_with_examples(text: str) -> None:
    with pytest.raises(Refused, match="is no size for the disk") as error:
        sizes.parse(text, "disk")

    assert "512MiB" in error.value.hint


def test_nothing_and_parts_of_a_byte_are_refused() -> None:
    with pytest.raises(Refused, match="The disk cannot be 0"):
        sizes.parse("0.0GiB", "disk")
    with pytest.raises(Refused, match="no whole number of bytes"):
        sizes.parse("0.3B", "disk")


@given(st.integers(1, 10**17), st.sampled_from(sorted(sizes.UNITS)))
def test_a_whole_number_of_any_unit_is_exact(number: int, unit: str) -> None:
    assert sizes.parse(f"{number}{unit}", "disk") == number * sizes.UNITS[unit]


@pytest.mark.parametrize(
    ("size", "text"),
    [(64 * 1024**2, "64MiB"), (2500000000, "2500000000 bytes"), (3 * 1024**3 // 2, "1.5GiB")],
)
def test_an_exact_size_leaves_nothing_out(size: int, text: str) -> None:
    assert sizes.exact(size) == text


@given(st.integers(1, 1023), st.sampled_from(["KiB", "MiB", "GiB", "TiB", "PiB"]))
def test_what_is_shown_can_be_typed_again(number: int, unit: str) -> None:
    size = number * sizes.UNITS[unit]

    assert sizes.parse(sizes.shown(size), "disk") == size


@given(st.text(max_size=20))
def test_whatever_is_typed_is_a_size_or_refused(text: str) -> None:
    try:
        size = sizes.parse(text, "disk")
    except Refused:
        return

    assert size > 0


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0B"), (1023, "1023B"), (1536, "1.5KiB"), (1024**4, "1TiB")]
)
def test_a_size_is_shown_in_its_largest_unit(size: int, text: str) -> None:
    assert sizes.shown(size) == text


def test_what_has_a_number_is_named_without_an_article() -> None:
    with pytest.raises(Refused, match=r"^'x' is no size for disk 2\.$"):
        sizes.parse("x", "disk 2")
    with pytest.raises(Refused, match=r"bytes for disk 2\.$"):
        sizes.parse("0.3B", "disk 2")
    with pytest.raises(Refused, match=r"^The size of disk 2 cannot be 0\.$"):
        sizes.parse("0B", "disk 2")
