"""What a shell is told that may come next, and where the help puts a command."""

from collections.abc import Iterator
from typing import get_args

import click
import pytest
from click.shell_completion import BashComplete

from mcv.commands import info, permission, update
from mcv.commands.root import COMMANDS, SECTIONS, front
from mcv.document.hardware import Video, Watchdog
from mcv.rules.rights import Right
from mcv.status import vm_filters

NAMES = {
    "vm.list": [{"name": "web1"}, {"name": "web2"}, {"name": "db1"}],
    "cluster.info": {"nodes": [{"name": "n1"}, {"name": "n2"}]},
    "network.list": [{"name": "lan"}],
    "pool.list": [{"name": "fast"}],
    "image.list": [{"name": "debian"}],
    "job.list": [{"id": "j1"}],
    "ha.list": [{"name": "web1"}, {"name": "www"}],
    "ha.domains": [{"name": "front"}],
}
# Metavars of names that the daemon knows; where a name is made, none can be offered.
KNOWN = {"VM", "VM...", "[VM]", "[VM...]", "N...", "P", "NET", "VM|NODE", "NODE", "DEAD", "A,B"}


@pytest.fixture
def daemon(monkeypatch: pytest.MonkeyPatch) -> None:
    class Answering:
        def __init__(self, **settings: object) -> None:
            pass

        def call(self, operation: str) -> object:
            return NAMES[operation]

    monkeypatch.setattr("mcv.rpc.client.Client", Answering)


def offered(line: str) -> list[tuple[str, str]]:
    """Type and word of what completes the last word of a command line."""
    *before, last = line.split(" ")
    completer = BashComplete(front, {}, "mcv", "_MCV_COMPLETE")
    return [(item.type, item.value) for item in completer.get_completions(before, last)]


def plain(line: str) -> list[str]:
    return [word for kind, word in offered(line) if kind == "plain"]


@pytest.mark.usefixtures("daemon")
@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("console web", ["web1", "web2"]),
        ("log ", ["web1", "web2", "db1", "n1", "n2"]),
        ("list --node n", ["n1", "n2"]),
        ("list --state p", ["paused"]),
        ("evacuate ", ["n1", "n2"]),
        ("node replace n1 --by n", ["n1", "n2"]),
        ("create web3 --pool ", ["fast"]),
        ("create web3 --nodes n1,n", ["n1,n1", "n1,n2"]),
        ("create web3 --image deb", ["debian"]),
        ("update web1 --protect ", ["yes", "no"]),
        ("update web1 --watchdog p", ["poweroff", "pause"]),
        ("nic add web1 --link ", ["up", "down"]),
        ("device add web1 ", ["usb", "pci"]),
        ("permission grant alice ", ["view", "power", "console", "change", "admin"]),
        ("cluster sync --from ", ["n1", "n2"]),
        ("ha set w", ["web1", "www"]),
        ("ha add web1 --domain ", ["front"]),
        ("ha tie remove t", ["together"]),
    ],
)
def test_a_word_is_completed_with_what_may_stand_there(line: str, words: list[str]) -> None:
    assert plain(line) == words


@pytest.mark.usefixtures("daemon")
@pytest.mark.parametrize(
    "line", ["edit web1 --file ", "create a --ssh-key k", "create a --image x"]
)
def test_a_file_is_left_to_the_shell(line: str) -> None:
    assert [kind for kind, _ in offered(line)] == ["file"]


def parameters() -> Iterator[tuple[str, click.Parameter]]:
    """Every parameter of every command, with its command."""
    waiting: list[tuple[str, click.Command]] = [("mcv", front)]
    while waiting:
        path, command = waiting.pop()
        if isinstance(command, click.Group):
            ctx = click.Context(command)
            words = [(word, command.get_command(ctx, word)) for word in command.list_commands(ctx)]
            waiting += [(f"{path} {word}", found) for word, found in words if found is not None]
        else:
            yield from ((path, param) for param in command.params)


@pytest.mark.usefixtures("daemon")
def test_every_parameter_that_is_a_known_name_offers_names() -> None:
    ctx = click.Context(click.Command("any"))
    lacking = [
        f"{path} {'/'.join(param.opts)}"
        for path, param in parameters()
        if param.metavar in KNOWN and not param.shell_complete(ctx, "")
    ]

    # P of --cpu-limit is a percentage.
    assert lacking == ["mcv update --cpu-limit"]


def test_the_words_that_are_offered_are_those_that_are_taken() -> None:
    watchdogs = {word for word in get_args(Watchdog) if word} | {"none"}
    videos = {word for word in get_args(Video) if word} | {"default"}

    assert set(info.STATES.split("|")) == set(vm_filters.LISTED)
    assert set(permission.RIGHTS.split("|")) == set(Right)
    assert set(update.ACTIONS.split("|")) == watchdogs
    assert set(update.VIDEOS.split("|")) == videos


def test_each_command_stands_under_one_heading_of_the_help() -> None:
    text = front.get_help(click.Context(front))

    for heading, section in SECTIONS.items():
        _, found, rest = text.partition(f"\n{heading}:\n")
        listed = [line.split()[0] for line in rest.partition("\n\n")[0].splitlines()]
        assert found and listed == list(section), heading
    assert sum(map(len, SECTIONS.values())) == len(COMMANDS)
