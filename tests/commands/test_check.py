"""`mcv cluster check`: what a human reads, the exit code, and what is asked before mending."""

from typing import Any

import pytest

from tests.commands.conftest import FakeDaemon, Speak

DEED = {"node": "n2", "deed": "undefine", "subject": "web1"}


def finding(severity: str = "error", **different: Any) -> dict[str, Any]:
    found = {
        "severity": severity,
        "node": "n2",
        "subject": "web1",
        "message": f"A matter of {severity}.",
        "hint": "mcv help-me",
        "fix": None,
    }
    return {**found, **different}


FIXABLE = finding(fix={**DEED, "text": "n2: undefine web1"})


def answer(*found: dict[str, Any]) -> dict[str, Any]:
    return {"ok": all(one["severity"] != "error" for one in found), "findings": list(found)}


@pytest.mark.parametrize(
    ("found", "code", "well"),
    [
        ([], 0, True),
        ([finding("note")], 0, True),
        ([finding("warning")], 0, False),
        ([finding("warning"), finding("error")], 5, False),
    ],
)
def test_only_an_error_is_exit_code_5(
    mcv: Speak, daemon: FakeDaemon, found: list[dict[str, Any]], code: int, well: bool
) -> None:
    daemon.answers["cluster.check"] = answer(*found)

    heard, told = mcv("cluster check"), mcv("cluster check", "--json")

    assert (heard.code, told.code) == (code, code)
    assert told.json == answer(*found)
    assert heard.out.endswith("All is well.\n") == well
    assert heard.err == told.err == ""


def test_findings_stand_under_their_severity_with_what_helps(
    mcv: Speak, daemon: FakeDaemon
) -> None:
    daemon.answers["cluster.check"] = answer(finding("error"), finding("note"))

    heard = mcv("cluster check")

    assert heard.out == (
        "errors:\n  n2: A matter of error.\n      mcv help-me\n\n"
        "notes:\n  n2: A matter of note.\n      mcv help-me\n"
    )


def test_what_is_mended_is_shown_and_asked_for_first(
    mcv: Speak, daemon: FakeDaemon, terminal: None
) -> None:
    daemon.answers["cluster.check"] = answer(FIXABLE, finding("warning"))
    fixed = {**DEED, "text": "n2: undefine web1", "done": True, "message": ""}
    daemon.job("cluster.fix", {**answer(), "fixed": [fixed]})

    heard = mcv("cluster check", "--fix", typed="y\n")

    assert heard.code == 0
    assert heard.err.startswith("  n2: undefine web1\nDo all this?")
    assert heard.out == "mended:\n  n2: undefine web1: done\n\nAll is well.\n"
    assert daemon.asked("cluster.fix") == [{"fixes": [DEED]}]


def test_no_answer_is_no(mcv: Speak, daemon: FakeDaemon) -> None:
    daemon.answers["cluster.check"] = answer(FIXABLE)

    heard = mcv("cluster check", "--fix")

    assert heard.code == 3 and "--yes" in heard.err
    assert daemon.asked("cluster.fix") == []


def test_what_could_not_be_mended_says_why(mcv: Speak, daemon: FakeDaemon) -> None:
    daemon.answers["cluster.check"] = answer(FIXABLE)
    left = {**DEED, "text": "n2: undefine web1", "done": False, "message": "web1 is running."}
    daemon.job("cluster.fix", {**answer(FIXABLE), "fixed": [left]})

    heard = mcv("cluster check", "--fix", "--yes")

    assert heard.code == 5
    assert "n2: undefine web1: left as it is: web1 is running." in heard.out


def test_a_dry_run_shows_what_would_be_mended(mcv: Speak, daemon: FakeDaemon) -> None:
    daemon.answers["cluster.check"] = answer(FIXABLE, finding("note"))

    heard = mcv("cluster check", "--fix", "--dry-run")

    assert (heard.code, heard.out) == (0, "n2: undefine web1\n")
    assert daemon.asked("cluster.fix") == []


def test_where_nothing_can_be_mended_nothing_is_asked(mcv: Speak, daemon: FakeDaemon) -> None:
    daemon.answers["cluster.check"] = answer(finding("error"))

    heard = mcv("cluster check", "--fix", "--json")

    assert heard.code == 5 and heard.json["fixed"] == []
    assert daemon.asked("cluster.fix") == []
