"""Whoever is named is told what high availability did: by mail, or by a program of root's."""

from collections.abc import Callable

from mcv.errors import Refused
from mcv.printable import line
from mcv.system import root_files
from mcv.system.process import run

Run = Callable[..., str]

SENDMAIL = "/usr/sbin/sendmail"
TIMEOUT = 30.0  # s


def send(
    to: str,
    cluster: str,
    subject: str,
    text: str,
    run_: Run = run,
    why_not_roots: Callable[[str], str] = root_files.why_not_roots,
) -> None:
    """Tell one of those that are named: an address, or the path of a program.

    A program gets the subject and the text as its two arguments, and runs as root: so it is
    root's, as is every directory above it. Raises CommandFailed, and Refused for a program that
    somebody else may write.
    """
    said = line(text)
    if not to.startswith("/"):
        about = f"mcv on {cluster}: {line(subject)}"
        mail = f"To: {line(to)}\nSubject: {about}\n\n{said}\n\nSee: mcv ha list, mcv ha status\n"
        run_(SENDMAIL, "-i", "-t", stdin=mail, timeout=TIMEOUT)
        return
    if why := why_not_roots(to):
        raise Refused(f"{to} is not run: {why}.", "mcv ha settings notify=")
    run_(to, line(subject), said, timeout=TIMEOUT)
