"""A host that goes down waits for what moves away, and for nothing that will not come."""

import time
from collections.abc import Iterator

import pytest

from mcv.errors import DaemonDown, McvError
from mcv.rpc.client import Client
from mcv.vm import moves_awaited
from mcv.vm.moves_awaited import KNOWN, LONGEST, QUIET, Leaving

STAYS = Leaving(policy="migrate", staying=["web1", "web2"])
MOVES = Leaving(policy="migrate", staying=["web1", "web2"], is_moving=True)
HALF = Leaving(policy="migrate", staying=["web2"], is_known=True)
GONE = Leaving(policy="migrate", is_known=True)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Time passes by being slept."""
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(time, "sleep", lambda s: now.__setitem__(0, now[0] + s))
    return now


def waited(*answers: tuple[float, Leaving | McvError]) -> float:
    """How long it waits where mcvd answers so from these moments on."""

    def ask() -> Leaving:
        told = next(each for since, each in reversed(answers) if since <= time.monotonic())
        if isinstance(told, McvError):
            raise told
        return told

    moves_awaited.wait(ask)
    return time.monotonic()


def known(policy: moves_awaited.Policy) -> Leaving:
    return Leaving(policy=policy, is_known=True)


@pytest.mark.parametrize(
    ("answers", "seconds"),
    [
        pytest.param([(0, Leaving(policy=""))], 0, id="nobody decides"),
        pytest.param([(0, DaemonDown("mcvd does not run."))], 0, id="mcvd is down"),
        pytest.param([(0, Leaving(policy="freeze")), (3, known("freeze"))], 3, id="it is known"),
        pytest.param([(0, Leaving(policy="failover"))], KNOWN, id="nobody hears of it"),
        pytest.param([(0, GONE)], 0, id="nothing has to move"),
        pytest.param([(0, Leaving(policy="migrate")), (2, GONE)], 2, id="empty, and not known"),
        pytest.param([(0, STAYS), (4, MOVES), (9, HALF), (20, GONE)], 20, id="all leave"),
        pytest.param([(0, STAYS)], QUIET, id="nobody moves anything"),
        pytest.param([(0, STAYS), (5, MOVES), (15, STAYS)], 14 + QUIET, id="a move failed"),
        pytest.param([(0, STAYS), (15, HALF)], 15 + QUIET, id="the last one stays"),
        pytest.param([(0, MOVES)], LONGEST, id="a move without an end"),
        pytest.param([(0, MOVES), (50, DaemonDown("It has ended."))], 50, id="mcvd ends"),
    ],
)
def test_it_waits_as_long_as_something_comes_of_it(
    answers: list[tuple[float, Leaving | McvError]], seconds: float
) -> None:
    assert waited(*answers) == seconds


def test_what_stays_is_told_in_the_journal(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        waited((0, STAYS), (5, HALF))

    assert "waiting for web1, web2 to move elsewhere (on-shutdown)" in caplog.text
    assert "web2 did not move elsewhere within 35 s" in caplog.text


@pytest.fixture
def mcvd(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[object]]:
    """What mcvd answers next."""
    answers: list[object] = []
    monkeypatch.setattr(Client, "call", lambda *_: answers.pop(0))
    yield answers


def test_an_answer_is_looked_at_before_it_is_believed(mcvd: list[object]) -> None:
    told = {"policy": "migrate", "is_known": True, "staying": ["web1"], "is_moving": False}
    mcvd += [told, {"policy": "burn"}]

    assert moves_awaited.ask() == Leaving(policy="migrate", is_known=True, staying=["web1"])
    with pytest.raises(McvError, match="not understood"):
        moves_awaited.ask()
