"""The log that libvirt and QEMU write about a domain: its end, and what comes after it."""

from pathlib import Path

import pytest

from mcv.drivers import qemu_log
from mcv.errors import McvError
from mcv.system.daemon_log import LogLine

TEXT = """\
2026-11-29 03:17:49.123+0000: starting up libvirt version: 9.0.0, qemu version: 7.2.22
LC_ALL=C \\
-name guest=web1,debug-threads=on \\
2026-11-29 03:20:00.000+0000: shutting down, reason=shutdown
"""


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "web1.log"
    path.write_text(TEXT)
    return path


def test_a_line_without_a_time_has_that_of_the_line_before(log: Path) -> None:
    seen = qemu_log.read("web1", "", log.parent)

    first = "2026-11-29T03:17:49.123Z"
    assert [line.when for line in seen.lines] == [first, first, first, "2026-11-29T03:20:00.000Z"]
    assert seen.lines[-1].text == "shutting down, reason=shutdown"


def test_a_reader_goes_on_at_whole_lines_and_over_a_rotation(log: Path) -> None:
    page = qemu_log.read("web1", "", log.parent)
    with log.open("a") as file:
        file.write("2026-11-29 04:00:00.000+0000: starting up\nhalf")

    page = qemu_log.read("web1", page.cursor, log.parent)
    assert [line.text for line in page.lines] == ["starting up"]
    with log.open("a") as file:
        file.write(" and whole\n")
    page = qemu_log.read("web1", page.cursor, log.parent)
    assert [line.text for line in page.lines] == ["half and whole"]

    log.rename(log.parent / "web1.log.1")
    log.write_text("anew\n")
    page = qemu_log.read("web1", page.cursor, log.parent)
    assert [line.text for line in page.lines] == ["anew"]


def test_no_more_than_the_end_is_read(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qemu_log, "PAGE", 90)

    seen = qemu_log.read("web1", "", log.parent)

    assert [line.text for line in seen.lines] == ["shutting down, reason=shutdown"]


def test_where_there_is_no_file_there_are_no_lines(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret\n")
    (tmp_path / "web2.log").symlink_to(tmp_path / "secret")
    (tmp_path / "web3.log").mkdir()

    for name in ("web1", "web2", "web3"):
        assert qemu_log.read(name, "", tmp_path).lines == []
    for name in ("../web1", "a/b"):
        with pytest.raises(McvError, match="no name"):
            qemu_log.read(name, "", tmp_path)


def test_bytes_that_are_no_text_are_shown_by_their_code(log: Path) -> None:
    log.write_bytes(b"\xff\xfe\n")

    assert qemu_log.lines("a", "now") == [LogLine(when="now", text="a")]
    assert qemu_log.read("web1", "", log.parent).lines[0].text == "\\xff\\xfe"
