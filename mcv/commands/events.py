"""What happened in the cluster, and who did it."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import click

from mcv.commands import moments, output
from mcv.commands.options import common
from mcv.commands.session import Session
from mcv.errors import DaemonDown, PeerUnreachable

POLL = 2.0  # s between two looks of --follow
BY_DEFAULT = "1d"
KEYS = ("when", "node", "who", "what", "subject", "outcome")


@click.command()
@click.option("--follow", is_flag=True, help="Go on with what happens from now on; ^C ends it.")
@click.option("--since", metavar="TIME", help="From then on: 10m, 2h, 3d, or an ISO time.")
@common(changes=False)
@click.pass_obj
def events(session: Session, follow: bool, since: str | None) -> None:
    """Show what happened on all nodes, and who did it.

    That is what operators asked for, done or refused, and what mcvd did or saw by itself. Each
    node keeps its own for 30 days; without --since those of the last day are shown. A node that
    does not answer is named on stderr. With --json each event is a line.
    """
    if since is None and follow:
        begin = moments.stamp(datetime.now(UTC))
    else:
        begin = moments.since(BY_DEFAULT if since is None else since)
    reader = Reader(session, "event.list", since=begin)
    shown = reader.all()
    if shown or follow:
        _show(session, shown)
    elif not session.json:
        session.say("Nothing happened.")
    while follow:
        time.sleep(POLL)
        _show(session, reader.later())


def _show(session: Session, rows: list[dict[str, Any]]) -> None:
    for row in rows:
        known = {key: row[key] for key in KEYS}
        session.say(output.as_line(known) if session.json else output.listed([text(known)]))


def text(row: dict[str, Any]) -> str:
    """An event as a line."""
    what = " ".join(filter(None, (row["what"], row["subject"])))
    return f"{row['when'][:19]}Z  {row['node']}  {row['who']}  {what}: {row['outcome']}"


class Reader:
    """Reads on where it was in the logs of all nodes; tells of silent nodes as they change."""

    def __init__(
        self, session: Session, operation: str, key: str = "events", **params: Any
    ) -> None:
        self._session = session
        self._operation = operation
        self._key = key
        self._params = params
        self._cursors: dict[str, Any] = {}
        self._silent: set[str] = set()
        self._is_away = False

    def all(self) -> list[dict[str, Any]]:
        """What is there and was not read yet, the oldest first."""
        rows = [row for page in self._pages() for row in page[self._key]]
        return sorted(rows, key=lambda row: str(row["when"]))

    def later(self) -> list[dict[str, Any]]:
        """As all, for who follows: a daemon that is away is waited for, and told of once."""
        try:
            rows = self.all()
        except (DaemonDown, PeerUnreachable) as error:
            if not self._is_away:
                self._session.tell([error.message])
            self._is_away = True
            return []
        if self._is_away:
            self._session.tell(["It answers again."])
        self._is_away = False
        return rows

    def _pages(self) -> Iterator[dict[str, Any]]:
        page = self._page()
        self._tell_silent(page["silent"])
        yield page
        while page["more"]:
            page = self._page(nodes=page["more"])
            yield page

    def _page(self, **some: Any) -> Any:
        page = self._session.call(self._operation, **self._params, cursors=self._cursors, **some)
        self._cursors = page["cursors"]
        return page

    def _tell_silent(self, silent: dict[str, str]) -> None:
        self._session.tell(
            f"{node} is missing: {silent[node]}" for node in sorted(silent.keys() - self._silent)
        )
        self._session.tell(
            f"{node} answers again." for node in sorted(self._silent - silent.keys())
        )
        self._silent = set(silent)
