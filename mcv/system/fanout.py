"""Ask several nodes at once, with one deadline for all of them."""

import contextvars
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from mcv.errors import CallLost, McvError, PeerUnreachable, SlowAnswer, of_system, wait_for

ANSWER = 1.8  # seconds that a node which lives has to answer a read


def ask_all(
    ask: Callable[..., Any],
    nodes: Iterable[str],
    operation: str,
    timeout: float,
    /,
    **params: Any,
) -> dict[str, Any]:
    """What each node answers, or the error that stands for its silence; never raises.

    Returns when all have answered or timeout seconds are over, whichever comes first.
    """
    answers: dict[str, Any] = {}

    def contact(node: str) -> None:
        try:
            answers[node] = ask(node, operation, timeout=timeout, **params)
        except McvError as error:
            answers[node] = error
        except OSError as error:
            answers[node] = of_system(error)

    threads = []
    for node in nodes:
        context = contextvars.copy_context()
        thread = threading.Thread(target=context.run, args=(contact, node), daemon=True)
        thread.start()
        threads.append((node, thread))
    until = time.monotonic() + timeout
    for _, thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
    return {
        node: answers.get(node, PeerUnreachable(f"{node} does not answer in time.", wait_for(node)))
        for node, _ in threads
    }


def ask_living(
    ask: Callable[..., Any],
    nodes: Iterable[str],
    operation: str,
    patience: float,
    /,
    answer: float = 0.0,
    **params: Any,
) -> dict[str, Any]:
    """What each node that lives answers; the error of its silence for each other.

    A sign of life is asked for first, with little patience, so that a dead node costs no
    more than that, while a busy node has `answer` seconds, or ANSWER. SlowAnswer stands for the
    answer of a node that gave the sign alone.
    """
    signs = ask_all(ask, nodes, "config.poll", patience)
    living = [node for node, sign in signs.items() if not isinstance(sign, McvError)]
    answers = ask_all(ask, living, operation, answer or ANSWER, **params)
    return {**signs, **{node: _or_slow(node, told) for node, told in answers.items()}}


def _or_slow(node: str, answer: Any) -> Any:
    if not isinstance(answer, PeerUnreachable | CallLost):
        return answer
    return SlowAnswer(
        f"{node} is slow: its mcvd answers, and did not tell in time what runs there.",
        "Look again in a while: mcv info",
    )
