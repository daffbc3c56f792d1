"""A row about `mcv console`: how long a key takes until it is shown, on the node without the VM."""

from pathlib import Path

from tests.bench.row import Row, alternate
from tests.bench.stage import PATIENCE, Stage
from tests.lab import guests
from tests.lab.cluster import create, mcv

TYPIST = Path(__file__).parent / "typist.py"
KEYS = 60
SSH = (
    "ssh -i /root/key -t -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null "
    "-o LogLevel=ERROR"
)


def typed(stage: Stage) -> list[Row]:
    """Seconds from a key to its echo by a guest, through mcv and through ssh, in turn."""
    create(stage.node1, "echo", image=guests.linux(), disk="32MiB")
    mcv(stage.node1, "update echo --memory 128MiB")
    stage.node2.put(TYPIST.read_bytes(), "/root/typist.py")
    _let_in(stage)
    mcv(stage.node1, "start echo")
    ours, reference = alternate(
        lambda: _echo(stage, "mcv console echo"),
        lambda: _echo(stage, f"{SSH} {stage.node1.address} virsh console --force echo"),
        3,
    )
    mcv(stage.node1, "stop echo --yes")
    stage.delete("echo")
    return [
        Row(
            "console echo",
            f"The middle one of {KEYS} keys typed to a guest's shell on the other node, from the "
            "key to its echo: by `mcv console`, and by `virsh console` through ssh.",
            tuple(ours),
            tuple(reference),
            bound=1.2,
        )
    ]


def _let_in(stage: Stage) -> None:
    """Let root of node2 log in to node1 without being asked."""
    stage.node2.run("test -e /root/key || ssh-keygen -q -t ed25519 -N '' -f /root/key")
    public = stage.node2.run("cat /root/key.pub").stdout.strip()
    stage.node1.run(f"echo '{public}' >> /root/.ssh/authorized_keys")


def _echo(stage: Stage, command: str) -> float:
    typing = f"env TERM=linux python3 -I /root/typist.py {KEYS} {command}"
    return float(stage.node2.run(typing, timeout=PATIENCE).stdout.split()[-1])
