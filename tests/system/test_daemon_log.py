"""mcvd's lines in the system's journal: one bounded journalctl, read on by its cursor."""

import pytest

from mcv.errors import Busy, CommandFailed
from mcv.system import daemon_log
from mcv.system.daemon_log import LogLine

# As systemd 252 prints it.
SAID = """\
1795923383.743227 node1 mcvd[312]: INFO mcvd: mcvd 0.1 serves as node1
1795923384.000100 node1 mcvd[312]: INFO mcv.transaction.jobs: start web1: -- cursor: s=0
1795923385.500000 node1 systemd[1]: Started mcvd.service - The daemon of mcv.
                                    and a second line
-- cursor: s=64a;i=2f;b=77;m=1a;t=5f;x=9
"""


class Journal:
    def __init__(self, said: str) -> None:
        self.said = said
        self.asked: list[tuple[str, ...]] = []

    def __call__(self, *command: str, stdin: str = "", timeout: float = 60) -> str:
        self.asked.append(command)
        return self.said


def test_the_last_lines_are_asked_for_with_one_command() -> None:
    journal = Journal(SAID)

    seen = daemon_log.read("", 50, journal)

    assert journal.asked == [
        (
            "journalctl",
            "--unit=mcvd.service",
            "--no-pager",
            "--quiet",
            "--output=short-unix",
            "--show-cursor",
            "--lines=50",
        )
    ]
    assert seen.lines[0] == LogLine(
        when="2026-11-29T03:36:23.743Z", text="INFO mcvd: mcvd 0.1 serves as node1"
    )
    assert [line.text for line in seen.lines][1] == (
        "INFO mcv.transaction.jobs: start web1: -- cursor: s=0"
    )
    assert seen.lines[3].when == seen.lines[2].when and seen.lines[3].text.endswith("second line")
    assert seen.cursor == "s=64a;i=2f;b=77;m=1a;t=5f;x=9"


def test_a_look_goes_on_after_the_cursor_and_keeps_it_where_nothing_came() -> None:
    journal = Journal("")

    seen = daemon_log.read("s=64a;i=2f", 50, journal)

    assert journal.asked[0][-1] == "--after-cursor=s=64a;i=2f"
    assert seen.lines == [] and seen.cursor == "s=64a;i=2f"


@pytest.mark.parametrize("cursor", ["--file=/etc/shadow x", "s=1 --merge", "s=1\n", "../x", "'"])
def test_what_is_no_cursor_reaches_no_command(cursor: str) -> None:
    journal = Journal("")

    daemon_log.read(cursor, 50, journal)

    assert not any(cursor in word for word in journal.asked[0])


def test_a_few_read_the_journal_at_once_also_after_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daemon_log, "TURN", 0.01)

    def fail(*command: str, stdin: str = "", timeout: float = 60) -> str:
        raise CommandFailed("No journal.")

    def nested(*command: str, stdin: str = "", timeout: float = 60) -> str:
        return daemon_log.read(
            "", 1, lambda *_, **__: daemon_log.read("", 1, Journal("")).cursor
        ).cursor

    for _ in range(5):
        with pytest.raises(CommandFailed):
            daemon_log.read("", 1, fail)
    with pytest.raises(Busy):
        daemon_log.read("", 1, nested)
    assert daemon_log.read("", 1, Journal(SAID)).lines
