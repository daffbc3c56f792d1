"""What mcvd tells mcv-lease."""

from pathlib import Path

import pytest

from mcv.errors import Unreadable
from mcv.ha import armed
from mcv.ha.armed import Armed, Voter
from mcv.ha.timing import at_pace

ARMED = Armed(
    node="n1",
    cluster="0123",
    renewal=2,
    validity=12,
    watchdog=8,
    grain=1,
    device="/dev/watchdog0",
    kind="Software Watchdog",
    proves=False,
    on_lost="reset",
    voters=(Voter(name="n1", address="10.0.0.1", port=8421, certificate="PEM"),),
    certificate="/var/lib/mcv/n1/pki/etcd.pem",
    key="/var/lib/mcv/n1/pki/key.pem",
)


def test_what_mcvd_wrote_is_read(tmp_path: Path) -> None:
    armed.write(ARMED, tmp_path / "run")

    assert armed.read(tmp_path / "run") == ARMED
    assert ARMED.timing == at_pace(1)


def test_a_node_is_armed_as_long_as_the_file_is_there(tmp_path: Path) -> None:
    assert armed.read(tmp_path) is None
    armed.write(ARMED, tmp_path)
    armed.remove(tmp_path)
    armed.remove(tmp_path)

    assert armed.read(tmp_path) is None


def test_each_writing_is_another_version(tmp_path: Path) -> None:
    assert armed.version(tmp_path) is None
    armed.write(ARMED, tmp_path)
    first = armed.version(tmp_path)
    assert first == armed.version(tmp_path)

    armed.write(ARMED, tmp_path)

    assert armed.version(tmp_path) != first


def test_a_file_that_makes_no_sense_does_not_disarm(tmp_path: Path) -> None:
    (tmp_path / "armed").write_text('{"node": "n1"}')

    with pytest.raises(Unreadable, match="cannot be read"):
        armed.read(tmp_path)
