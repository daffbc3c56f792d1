"""What passes between this host's systemd and mcv: ready, and whether the host goes down."""

import os
import socket
from pathlib import Path

from mcv.system.process import Run, run

COMES_UP = ("reboot.target", "kexec.target")
RUNS = Path("/run/systemd/system")  # there while systemd is this host's init (sd_booted(3))


def ready(status: str) -> None:
    """Tell systemd that the service is up (sd_notify(3)); nothing where none listens."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.connect(address)
        sock.send(f"READY=1\nSTATUS={status}\n".encode())


def host_is_stopping(run_: Run = run, runs: Path = RUNS) -> bool:
    """Whether this whole host goes down, and not just a service of it.

    A host without systemd does not tell: False. Raises CommandFailed where systemd does not
    answer.
    """
    if not runs.is_dir():
        return False
    return "shutdown.target" in run_("systemctl", "list-jobs", "--plain", "--no-legend")


def host_is_rebooting(run_: Run = run, runs: Path = RUNS) -> bool:
    """Whether this host, which goes down, is to come up again. Raises CommandFailed."""
    if not runs.is_dir():
        return False
    jobs = run_("systemctl", "list-jobs", "--plain", "--no-legend")
    return any(target in jobs for target in COMES_UP)


def go_down(verb: str, run_: Run = run) -> None:
    """Have this whole host reboot or power off, in good order. Raises CommandFailed."""
    run_("systemctl", "--no-block", verb)
