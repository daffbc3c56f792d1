"""What nodes told last: a slow one holds up a round, and not the next one."""

import threading
import time

from mcv.errors import PeerUnreachable
from mcv.system.heard import Heard

PATIENCE = 60.0


class Nodes:
    """n1 answers at once, n2 when it is let; each answer is a number of its own."""

    def __init__(self) -> None:
        self.heard = Heard()
        self.let = threading.Event()
        self.let.set()
        self.asked: list[str] = []
        self.fails = False

    def _call(self, node: str, operation: str, timeout: float) -> int:
        self.asked.append(node)
        number = len(self.asked)
        if node == "n2":
            self.let.wait(10)
        if self.fails:
            raise PeerUnreachable(f"{node} does not answer.")
        return number

    def ask(
        self, state: str = "a", wait: float = 10.0, patience: float = PATIENCE
    ) -> dict[str, int]:
        return self.heard.ask(
            self._call, ["n1", "n2"], "number", int, state=state, wait=wait, patience=patience
        )

    def await_n2(self) -> None:
        self.let.set()
        self.heard._asked["n2"].join(10)


def test_all_that_answer_in_time_are_told_anew_each_time() -> None:
    nodes = Nodes()

    assert nodes.ask() == {"n1": 1, "n2": 2}
    assert nodes.ask() == {"n1": 3, "n2": 4}


def test_a_slow_answer_counts_in_a_later_round_and_is_waited_for_once() -> None:
    nodes = Nodes()
    nodes.let.clear()
    assert nodes.ask(wait=0.05) == {"n1": 1}
    begun = time.monotonic()
    assert nodes.ask() == {"n1": 3}
    assert time.monotonic() - begun < 5
    assert nodes.asked.count("n2") == 1

    nodes.await_n2()
    nodes.let.clear()

    assert nodes.ask(wait=0.05)["n2"] == 2


def test_who_is_silent_is_asked_and_not_waited_for() -> None:
    nodes = Nodes()
    nodes.let.clear()
    begun = time.monotonic()

    found = nodes.heard.ask(
        nodes._call,
        ["n1", "n2"],
        "number",
        int,
        state="a",
        wait=20.0,
        patience=PATIENCE,
        silent=("n2",),
    )

    assert found == {"n1": 1} and time.monotonic() - begun < 10
    nodes.await_n2()
    assert nodes.ask()["n2"] > 1


def test_an_answer_from_before_a_change_counts_no_more() -> None:
    nodes = Nodes()
    nodes.let.clear()
    nodes.ask(wait=0.05)
    nodes.await_n2()
    nodes.let.clear()

    assert list(nodes.ask("b", wait=0.05)) == ["n1"]


def test_an_old_answer_counts_no_more() -> None:
    nodes = Nodes()
    nodes.ask()
    nodes.let.clear()
    time.sleep(0.05)

    assert "n2" not in nodes.ask(wait=0.0, patience=0.04)


def test_an_error_or_another_shape_is_no_answer() -> None:
    nodes = Nodes()
    nodes.ask()
    nodes.fails = True
    assert nodes.ask() == {}

    nodes.fails = False
    assert (
        nodes.heard.ask(nodes._call, ["n1"], "number", str, state="a", wait=1.0, patience=PATIENCE)
        == {}
    )
