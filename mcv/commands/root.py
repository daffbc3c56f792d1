"""The words of mcv: which module holds which command, and how a command line ends."""

import contextlib
import importlib
import io
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn, TextIO, cast

import click

from mcv.commands import output
from mcv.commands.options import flag
from mcv.commands.session import Session
from mcv.errors import McvError, OutcomeOpen, Refused, RepairNeeded

# Each word's module below mcv.commands, and the command in it, under the headings of the help.
SECTIONS = {
    "See what is there and what happens": {
        "info": ("info", "info"),
        "list": ("info", "list_"),
        "top": ("top", "top"),
        "events": ("events", "events"),
        "log": ("log", "log"),
        "job": ("job", "job"),
    },
    "Make VMs and change them": {
        "create": ("create", "create"),
        "update": ("update", "update"),
        "rename": ("vm", "rename"),
        "delete": ("vm", "delete"),
        "disk": ("disk", "disk"),
        "nic": ("nic", "nic"),
        "device": ("device", "device"),
        "edit": ("edit", "edit"),
    },
    "Run VMs and reach their guests": {
        "start": ("power", "start"),
        "shutdown": ("power", "shutdown"),
        "stop": ("power", "stop"),
        "reboot": ("power", "reboot"),
        "reset": ("power", "reset"),
        "pause": ("power", "pause"),
        "resume": ("power", "resume"),
        "migrate": ("vm", "migrate"),
        "console": ("console", "console"),
        "vnc": ("vnc", "vnc"),
        "exec": ("guest", "exec_"),
        "lock": ("lock", "lock"),
        "unlock": ("lock", "unlock"),
    },
    "Nodes and the cluster": {
        "cluster": ("cluster", "cluster"),
        "node": ("node", "node"),
        "evacuate": ("evacuate", "evacuate"),
        "ha": ("ha", "ha"),
        "fence": ("fence", "fence"),
        "permission": ("permission", "permission"),
        "config": ("config", "config"),
    },
    "What VMs are made of": {
        "network": ("network", "network"),
        "pool": ("pool", "pool"),
        "image": ("image", "image"),
        "drbd": ("drbd", "drbd"),
        "verify": ("verify", "verify"),
        "resync": ("verify", "resync"),
    },
    "When something is stuck": {
        "repair": ("repair", "repair"),
        "locks": ("locks", "locks"),
        "register": ("register", "register"),
        "unregister": ("register", "unregister"),
    },
}
COMMANDS = {word: place for section in SECTIONS.values() for word, place in section.items()}
INTERRUPTED = 130


class Front(click.Group):
    """Loads a command when it is named, and turns errors into exit codes."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands under their headings."""
        width = max(map(len, COMMANDS))
        limit = formatter.width - 6 - width  # as click reckons
        for heading, section in SECTIONS.items():
            commands = ((word, self.get_command(ctx, word)) for word in section)
            rows = [
                (word.ljust(width), command.get_short_help_str(limit))
                for word, command in commands
                if command is not None
            ]
            with formatter.section(heading):
                formatter.write_dl(rows)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, attribute = COMMANDS[cmd_name]
        command = getattr(importlib.import_module(f"mcv.commands.{module}"), attribute)
        assert isinstance(command, click.Command)
        return command

    def main(  # type: ignore[override]
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        obj: Session | None = None,
        **extra: Any,
    ) -> NoReturn:
        words = list(sys.argv[1:] if args is None else args)
        session = obj or Session()
        extra["standalone_mode"] = False
        stdout, stderr = sys.stdout, sys.stderr
        patient = output.PatientStream(stdout)
        sys.stdout, sys.stderr = cast(TextIO, patient), cast(TextIO, output.PatientStream(stderr))
        try:
            code = super().main(args=words, prog_name=prog_name or "mcv", obj=session, **extra)
        except click.ClickException as error:
            code = _usage(session, error, words)
        except McvError as error:
            session.complain(error)
            _trace(session)
            code = error.exit_code
        except (click.Abort, KeyboardInterrupt):
            code = _interrupted(session)
        except Exception as error:
            unclear = OutcomeOpen(
                f"mcv itself failed: {type(error).__name__}: {error}", "See: mcv job list"
            )
            session.complain(unclear)
            _trace(session)
            code = unclear.exit_code
        finally:
            session.close()
        patient.flush()
        code = _written(session, patient, code if isinstance(code, int) else 0)
        sys.stdout, sys.stderr = stdout, stderr
        sys.exit(code)


def _written(session: Session, stdout: output.PatientStream, code: int) -> int:
    """The exit code of a command, also where stdout did not take what it said.

    A reader that went away wanted no more. Where the work was good and its answer is lost, the
    code tells whether something was changed.
    """
    if stdout.error is None:
        return code
    # What is buffered would be tried, and would fail, once more at the end of the process.
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stdout.fileno())
    if isinstance(stdout.error, BrokenPipeError) or code != 0:
        return code
    message = f"stdout cannot be written: {stdout.error.strerror or stdout.error}."
    lost: McvError = Refused(message, "Nothing was changed.")
    if session.has_changed:
        lost = RepairNeeded(message, "What was asked for is done. See: mcv job list")
    session.complain(lost)
    return lost.exit_code


def _usage(session: Session, error: click.ClickException, words: list[str]) -> int:
    """Say what could not be understood; --json may stand behind the word that was wrong."""
    if session.json or "--json" in words:
        ctx = getattr(error, "ctx", None)
        said = {
            "error": "usage",
            "message": error.format_message(),
            "hint": f"{ctx.command_path if ctx else 'mcv'} --help",
            "problems": [],
        }
        session.note(output.as_line(said))
    else:
        shown = io.StringIO()
        error.show(shown)
        session.note(shown.getvalue().rstrip())
    return error.exit_code


def _trace(session: Session) -> None:
    if session.debug:
        import traceback

        session.note(traceback.format_exc().rstrip())


def _interrupted(session: Session) -> int:
    """Say what becomes of the jobs that were followed; those that only wait are cancelled."""
    try:
        if not session.under_way:
            session.stopped("Interrupted. What is under way: mcv job list")
        for job, node in list(session.under_way.items()):
            session.stopped(_let_go(session, job, node))
    except (KeyboardInterrupt, OSError):
        # Once more, or the terminal is gone: there is nobody left to tell.
        pass
    return INTERRUPTED


def _let_go(session: Session, job: str, node: str) -> str:
    goes_on = (
        f"The job goes on; find it with: mcv job wait {job}, cancel it with: mcv job cancel {job}"
    )
    try:
        if not session.call("job.show", job=job)["waits"]:
            return goes_on
        session.call("job.cancel", job=job)
    except McvError:
        return goes_on
    try:
        session.client.follow(job, node)
    except McvError as ended:
        return f"{ended} Nothing was changed." if ended.kind == "cancelled" else str(ended)
    return "The job was done before it could be cancelled."


def _version(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        import mcv

        click.echo(f"mcv {mcv.__version__}")
        ctx.exit()


@click.group(cls=Front)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_version,
    help="Show the version and exit.",
)
@flag("-v", "--verbose", help="Show each step as it is done.")
@flag("--debug", help="Show the traceback of an error.")
@flag("--json", help="Print one JSON document and nothing else.")
def front() -> None:
    """Virtual machines on a small cluster of Linux hosts.

    mcv talks to the daemon of this host (mcvd), which talks to the others, so that every
    command can be given on every node. Where to begin: mcv info, mcv list. When something
    is stuck: the attention lines of mcv info, mcv job list, mcv repair.

    Only root may use it. Permissions (mcv permission) hold back those whose sudoers line
    allows mcv alone; a root shell that sudo did not open is no subject of them.

    \b
    Exit codes:
      0    done
      1    failed, and what had been done was undone
      2    the command line was not understood
      3    refused: nothing was changed
      4    stopped half-way, done but for a part that the message names, or not known
           yet: mcv job wait ID, mcv repair
      5    a check found something wrong
      130  Ctrl-C; the message says what became of the job
    """
