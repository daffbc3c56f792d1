"""What a shell is told that may come next: names that the daemon knows, fixed words, files."""

from collections.abc import Callable

import click
from click.shell_completion import CompletionItem

from mcv.errors import McvError

Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]

KINDS = "drbd|lvm|thin|file|shared"


def completing(operation: str, key: str) -> Complete:
    """Complete a word with what the daemon knows; with nothing where it does not answer."""

    def complete(_: click.Context, __: click.Parameter, word: str) -> list[CompletionItem]:
        from mcv.rpc.client import Client

        try:
            answer = Client(timeout=3, hello_timeout=1, turn=0).call(operation)
        except (McvError, OSError):
            return []
        rows = answer["nodes"] if isinstance(answer, dict) else answer
        names = (str(row[key]) for row in rows)
        return [CompletionItem(name) for name in names if name.startswith(word)]

    return complete


def words(text: str) -> Complete:
    """Complete one of a|b|c."""

    def complete(_: click.Context, __: click.Parameter, word: str) -> list[CompletionItem]:
        return [CompletionItem(each) for each in text.split("|") if each.startswith(word)]

    return complete


def files(_: click.Context, __: click.Parameter, word: str) -> list[CompletionItem]:
    """Leave a word to the shell, which knows the files of who types."""
    return [CompletionItem(word, type="file")]


def either(*several: Complete) -> Complete:
    """Complete what any of these do; files only where nothing else fits."""

    def complete(ctx: click.Context, param: click.Parameter, word: str) -> list[CompletionItem]:
        found = [item for each in several for item in each(ctx, param, word)]
        return [item for item in found if item.type == "plain"] or found

    return complete


def several(names: Complete) -> Complete:
    """Complete the last name of A,B."""

    def complete(ctx: click.Context, param: click.Parameter, word: str) -> list[CompletionItem]:
        before, comma, last = word.rpartition(",")
        found = names(ctx, param, last)
        return [CompletionItem(f"{before}{comma}{item.value}") for item in found]

    return complete


vms = completing("vm.list", "name")
nodes = completing("cluster.info", "name")
networks = completing("network.list", "name")
pools = completing("pool.list", "name")
images = completing("image.list", "name")
jobs = completing("job.list", "id")
images_and_files = either(images, files)
