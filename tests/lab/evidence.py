"""What is kept of a failure: the nodes' journals, mcvd's log, and the state they were in."""

import shutil
from pathlib import Path

from tests.lab import LabError, Node
from tests.lab.host import TREE

FAILURES = TREE / ".lab" / "failures"

# What a failed test leaves behind, from each node that can still be asked.
EVIDENCE = {
    "mcvd.log": "journalctl --no-pager --unit=mcvd.service --since=@SINCE",
    "journal.log": "journalctl --no-pager --since=@SINCE",
    "processes": "ps -eo pid,ppid,stat,etimes,wchan:24,args",
    "state": (
        "virsh list --all; drbdsetup status --verbose --statistics; cat /proc/drbd; "
        "lvs -a -o +tags; ls -la /etc/drbd.d /run/mcv; timeout 20 mcv info; timeout 20 mcv list"
    ),
    "files": (
        "find /var/lib/mcv /etc/drbd.d -type f ! -path '*/pki/*' ! -path '*/etcd/data/*' "
        "-exec tail -n +1 {} +"
    ),
}


def keep_evidence(node: Node, directory: Path, since: int) -> None:
    kept = directory / node.name
    kept.mkdir(parents=True, exist_ok=True)
    if node.console.exists():
        shutil.copy2(node.console, kept)
    node.thaw()
    for name, command in EVIDENCE.items():
        try:
            told = node.run(command.replace("SINCE", str(since)), check=False, timeout=60)
            (kept / name).write_text(told.stdout + told.stderr)
        except LabError as error:
            (kept / name).write_text(f"{error}\n")
