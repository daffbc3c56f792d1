"""The document's text: a document that is read and not changed keeps it, and so its hash."""

from pathlib import Path

import msgspec
import pytest

from mcv.document.disks import DrbdDisk
from mcv.document.history import on_disk
from mcv.document.model import decode, digest, encode
from tests.documents import disk, document, vm

RECORDED = Path(__file__).parent.parent / "recorded/1/trees"
GENERATIONS = sorted(RECORDED.rglob("history/*.json"))


def test_each_recorded_generation_keeps_its_text_and_its_hash() -> None:
    with_disks = 0

    for path in GENERATIONS:
        text = path.read_text(encoding="utf-8")
        read = decode(text)
        with_disks += bool(read.disks())
        assert on_disk(read) == text, path
        assert path.name.split("-")[1].removesuffix(".json") == digest(read)[:16], path

    assert with_disks > 5


def test_the_kind_of_a_disk_is_its_tag_and_stands_where_schema_1_has_it() -> None:
    first = msgspec.structs.replace(document(), schema=1)
    text = encode(first.with_vm(vm(disks=(disk(),))))

    assert '"disks":[{"id":1,"size":67108864,"storage":"drbd","volume":"mcv-web1-1",' in text
    (_, read), *_ = decode(text).disks()
    assert isinstance(read, DrbdDisk) and read == disk()
    assert msgspec.to_builtins(read)["storage"] == read.storage == "drbd"


def test_words_that_look_like_a_disk_stay_as_they_are() -> None:
    words = '{"storage":"drbd","id":1,"size":2,'
    made = msgspec.structs.replace(document(), name=words)

    assert decode(encode(made)).name == words


def test_a_kind_that_this_mcv_does_not_know_is_refused() -> None:
    known = msgspec.to_builtins(disk())

    with pytest.raises(msgspec.ValidationError, match="storage"):
        msgspec.convert({**known, "storage": "tape"}, DrbdDisk)
