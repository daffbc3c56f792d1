"""How busy this host's processors were."""

from pathlib import Path

import pytest

from mcv.system.processor import Spent, spent


@pytest.mark.parametrize(
    ("line", "seen"),
    [
        # Guests' time, the last two columns, is in the first two already.
        ("cpu  100 5 50 800 40 3 2 0 60 1", Spent(busy=160, total=1000)),
        ("cpu  100 5 50 800", Spent(busy=155, total=955)),
    ],
)
def test_what_is_not_idle_is_busy(tmp_path: Path, line: str, seen: Spent) -> None:
    (tmp_path / "stat").write_text(f"{line}\ncpu0 1 2 3 4\n")

    assert spent(tmp_path / "stat") == seen


def test_this_host_tells_it() -> None:
    assert 0 < spent().busy < spent().total
