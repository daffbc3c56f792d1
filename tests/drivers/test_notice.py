"""Mail and programs by which somebody is told what high availability did."""

from typing import Any

import pytest

from mcv.drivers import notice
from mcv.errors import Refused

Ran = list[tuple[tuple[str, ...], dict[str, Any]]]


def told(to: str, why: str = "", text: str = "web1 goes to n2.") -> Ran:
    ran: Ran = []

    def run(*command: str, **values: Any) -> str:
        ran.append((command, values))
        return ""

    notice.send(to, "house", "web1", text, run, lambda _: why)
    return ran


def test_an_address_gets_a_mail() -> None:
    ((command, values),) = told("ops@example.org")

    assert command == ("/usr/sbin/sendmail", "-i", "-t")
    assert values["stdin"].startswith(
        "To: ops@example.org\nSubject: mcv on house: web1\n\nweb1 goes"
    )


def test_what_is_told_is_one_line_and_no_header() -> None:
    ((_, values),) = told("ops@example.org", text="one\nBcc: other@example.org")

    assert "\nBcc:" not in values["stdin"]


def test_a_program_gets_subject_and_text() -> None:
    ((command, _),) = told("/usr/local/sbin/page")

    assert command == ("/usr/local/sbin/page", "web1", "web1 goes to n2.")


def test_a_program_that_is_not_roots_alone_is_not_run() -> None:
    with pytest.raises(Refused, match="not run: everybody may write it"):
        told("/home/alice/page", why="everybody may write it")
