"""Commands that must be refused: for just the reasons that there are, and without a trace."""

import json
from collections.abc import Sequence

from tests.lab import Node, Result, reality

MARK = "=== what follows:"


def answers(node: Node, commands: Sequence[str], by: str = "mcv") -> dict[str, Result]:
    """What commands of mcv's are answered with --json, given one after the other, by these words.

    They go over one connection, which spares much of the time that many of them take.
    """
    script = "\n".join(
        f"{by} --json {words} > /root/out 2> /root/err < /dev/null\n"
        f"echo '{MARK}' $?; cat /root/out; echo '{MARK}'; cat /root/err"
        for words in commands
    )
    said = node.run("bash -s", stdin=script, timeout=30 + 10 * len(commands)).stdout
    parts = said.split(MARK)[1:]
    found = {}
    for words, out, err in zip(commands, parts[::2], parts[1::2], strict=True):
        code, _, text = out.partition("\n")
        found[words] = Result(text, err, int(code))
    return found


def complains_of(result: Result, *messages: str) -> None:
    """Exit 3, and one message for each of these problems, no more."""
    __tracebackhide__ = True
    assert (result.code, result.stdout) == (3, ""), result
    error = json.loads(result.stderr.strip().splitlines()[-1])
    told = [one["message"] for one in error["problems"]] or [error["message"]]
    assert len(told) == len(messages), told
    for message in messages:
        assert len([one for one in told if message in one]) == 1, (message, told)


def refused(node: Node, words: str, *messages: str) -> None:
    """A command is refused, for just these reasons."""
    __tracebackhide__ = True
    complains_of(node.run(f"mcv --json {words}", check=False, timeout=120), *messages)


def refused_without_a_trace(nodes: Sequence[Node], words: str, *messages: str) -> None:
    """The first of these nodes refuses a command, and all of them are as they were."""
    __tracebackhide__ = True
    before = reality.snapshots(nodes)
    refused(nodes[0], words, *messages)
    assert reality.snapshots(nodes) == before
