"""Who has which tests in a shared run: two processes those of the lab, one the others, aside.

A lab keeps less than a core busy, with gaps. The process that is named ASIDE runs the tests
without a lab in these, and gives way to nodes. When the lab's tests are given out, all have them.
"""

import contextlib
import os
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadFileScheduling

from tests.minutes import LAB

ASIDE = "aside"
# As `nice` has it: where both labs could fill a core each, it still has a quarter of one.
GIVES_WAY = 5


class Turns(LoadFileScheduling):  # type: ignore[misc]
    """A file's tests stay in one process; ASIDE has none of the lab's, and the others those first.

    Files are handed out in the order in which they were collected.
    """

    def _assign_work_unit(self, node: Any) -> None:
        file = turn(list(self.workqueue), node.gateway.id)
        if file is None:
            node.shutdown()
            return
        self.workqueue.move_to_end(file, last=False)
        super()._assign_work_unit(node)


def turn(files: list[str], process: str) -> str | None:
    """Which of the files that wait is the next of a process; None where none ever will be."""
    lab = [file for file in files if file.startswith(LAB)]
    others = [file for file in files if file not in lab]
    able = others if process == ASIDE else lab or others
    return able[0] if able else None


def step_aside() -> None:
    """Let all other processes of the machine go first.

    Linux weighs sessions against each other, and each node of a lab is one: a session of its own
    makes what `nice` says hold against them too.
    """
    os.setsid()
    os.nice(GIVES_WAY)
    with contextlib.suppress(OSError):  # a kernel that weighs processes alone
        Path("/proc/self/autogroup").write_text(f"{GIVES_WAY}\n")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Turns | None:
    if not any(f"id={ASIDE}" in spec for spec in config.getoption("tx", [])):
        return None
    return Turns(config, log)


def pytest_sessionstart(session: pytest.Session) -> None:
    if getattr(session.config, "workerinput", {}).get("workerid") == ASIDE:
        step_aside()
