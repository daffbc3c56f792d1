"""Jobs: operations under way and lately ended."""

from typing import Any

import click

from mcv.commands import output
from mcv.commands.completion import jobs
from mcv.commands.options import common
from mcv.commands.session import Session
from mcv.errors import McvError

job_argument = click.argument("id", metavar="ID", shell_complete=jobs)


@click.group()
def job() -> None:
    """See operations under way, wait for them, cancel them."""


@job.command("list")
@common(changes=False)
@click.pass_obj
def list_(session: Session) -> None:
    """List the jobs under way and lately ended, of all nodes."""
    found = session.call("job.list")
    rows = [
        (job["id"], job["state"], job["title"], job["who"], job["node"], job["began"], job["ended"])
        for job in found
    ]
    headings = ("id", "state", "title", "who", "node", "began", "ended")
    session.show(found, lambda: output.table(rows, headings) if rows else "There is no job.")


@job.command()
@job_argument
@common(changes=False)
@click.pass_obj
def show(session: Session, id: str) -> None:
    """Show one job: how far it is, or how it ended."""
    found = session.call("job.show", job=id)
    session.show(found, lambda: _text(found))


def _text(job: dict[str, Any]) -> str:
    keys = ("id", "title", "state", "who", "node", "began", "ended")
    lines = [output.fields({key: job[key] or None for key in keys})]
    for part in job["progress"]:
        share = output.percent(100 * part["done"] / part["total"]) if part["total"] else ""
        lines.append(output.listed([f"  {part['what']} {share}".rstrip()]))
    if job["error"]:
        lines.append(output.error_text(_error(job["error"])))
    if job["cancellable"]:
        lines.append(f"It can be cancelled: mcv job cancel {job['id']}")
    return "\n".join(lines)


def _error(plain: dict[str, Any]) -> McvError:
    from mcv.rpc.values import error_from_plain

    return error_from_plain(plain)


@job.command()
@job_argument
@common(changes=False)
@click.pass_obj
def wait(session: Session, id: str) -> None:
    """Follow a job to its end.

    It exits as the command would have that began the job.
    """
    found = session.call("job.show", job=id)
    result = session.follow(found["id"], found["node"], through_stalls=True)
    session.show(result, f"Job {id} ({found['title']}) is done.")


@job.command()
@job_argument
@common()
@click.pass_obj
def cancel(session: Session, id: str) -> None:
    """End a job that waits, compares replicas, or sends a VM's memory.

    A migration that waits for its guest has changed nothing yet; a shutdown that waits has
    asked its guest, which may still end. A verification ends as interrupted, which says
    nothing about the replicas; a VM stays where it is. For every other job this is refused.
    """
    answer = session.run("job.cancel", job=id)
    session.show(answer, f"Job {id} is cancelled. How it ends: mcv job show {id}")
