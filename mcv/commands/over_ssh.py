"""Commands whose daemon reaches another host over SSH: its key is agreed to, a password asked."""

from collections.abc import Callable
from typing import Any

import click

from mcv.commands import session as sessions
from mcv.commands import user_files
from mcv.commands.completion import files
from mcv.commands.session import Session
from mcv.errors import NeedsPassword, Refused

password_file_option = click.option(
    "--password-file",
    metavar="F",
    shell_complete=files,
    help="A file whose first line is root's password there.",
)
host_key_option = click.option(
    "--host-key", metavar="FINGERPRINT", help="Its SSH host key, as ssh-keygen -l prints it."
)


def agreed_host_key(
    session: Session, ip_address: str, operation: str, /, **params: Any
) -> str | None:
    """The host's key as a question tells it, once a human has said that it is right.

    None where it is known.
    """
    return agreed(session, ip_address, session.call(operation, **params))


def agreed(session: Session, ip_address: str, key: dict[str, Any]) -> str | None:
    """The same of a key that was told already."""
    if key["known"]:
        return None
    fingerprint = str(key["fingerprint"])
    shown = f"The {key['type']} host key of {ip_address} is {fingerprint}."
    if session.yes:
        if not session.json:
            session.tell([shown])
    elif sessions.has_terminal():
        compare = "Compare it there: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub"
        session.tell([shown, compare])
        session.answer(f"Is that {ip_address}?")
    else:
        raise Refused(
            f"{shown} It is not known here, and without a terminal nobody can compare it.",
            f"Say that it is right with: --host-key {fingerprint}, or --yes",
        )
    return fingerprint


class Asking:
    """An operation that reaches a host: with root's own key, or a password where one is needed.

    A password that a human was asked for serves the plan and the operation itself.
    """

    def __init__(
        self, session: Session, operation: str, ip_address: str, password_file: str | None
    ) -> None:
        self._session = session
        self._operation = operation
        self._address = ip_address
        self._file = password_file
        self._password = user_files.first_line(password_file) if password_file is not None else None

    def run(self, **params: Any) -> Any:
        """Run it, and once more with a password where root's own key does not open the host."""
        return self._with_password(self._session.run, params)

    def plan(self, **params: Any) -> list[str]:
        """The steps that it would take."""
        lines: list[str] = self._with_password(self._session.plan, params)
        return lines

    def _with_password(self, ask: Callable[..., Any], params: dict[str, Any]) -> Any:
        try:
            return ask(self._operation, **params, password=self._password)
        except NeedsPassword as error:
            self._password = _asked_password(error, self._address, self._file)
            return ask(self._operation, **params, password=self._password)


def _asked_password(error: NeedsPassword, ip_address: str, password_file: str | None) -> str:
    if password_file is not None or not sessions.has_terminal():
        raise NeedsPassword(
            error.message, "Name a file that holds it in its first line: --password-file FILE"
        ) from error
    try:
        answer: str = click.prompt(f"Password of root@{ip_address}", hide_input=True, err=True)
    except click.Abort:
        raise Refused("No password was given; nothing was changed.") from None
    return answer
