"""The lab by hand: python -m tests.lab up 2, ssh 1 COMMAND, kill 1, boot 1, cut 1, heal 1, down."""

import argparse
import os
import shlex
import sys

from tests.lab.host import LabError, Place, allow_many_files
from tests.lab.image import PASSWORD
from tests.lab.lab import Lab
from tests.lab.node import Node

ONE_NODE = {
    "boot": "start a node with the disks it has",
    "kill": "sudden death",
    "shutdown": "shut a node down in good order",
    "cut": "cut a node off from the others",
    "heal": "end that",
    "freeze": "stop a node where it stands",
    "thaw": "let it go on",
    "reset": "take away what mcv made on it",
}


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.lab",
        description="Real nodes as processes. LAB=DIRECTORY in the environment gives another lab.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser(
        "up", help="boot nodes 1 to COUNT; one that has disks keeps them, and the code on them"
    )
    up.add_argument("count", nargs="?", type=int, default=2)
    up.add_argument(
        "--witness", action="store_true", help="the last one is a machine without mcv, with etcd"
    )
    ssh = commands.add_parser("ssh", help="run a command on a node, or log in")
    ssh.add_argument("node", type=int)
    ssh.add_argument("words", nargs=argparse.REMAINDER)
    for name, text in ONE_NODE.items():
        commands.add_parser(name, help=text).add_argument("node", type=int)
    commands.add_parser("refresh", help="bring the tree's code to the running nodes")
    commands.add_parser("status", help="which nodes there are")
    commands.add_parser("down", help="kill the nodes and delete their disks")
    try:
        return carry_out(parser.parse_args())
    except LabError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1


def carry_out(asked: argparse.Namespace) -> int:
    lab = Lab(Place.from_environment())
    match asked.command:
        case "up" | "down":
            lab.take()
            if asked.command == "up":
                lab.node(asked.count).role = "witness" if asked.witness else ""
                greet(lab, lab.up(asked.count))
            else:
                lab.down()
        case "ssh":
            log_in(lab.node(asked.node), asked.words)
        case "refresh":
            lab.refresh()
        case "status":
            for node in lab.nodes:
                print(f"{node.name}  {node.address}  {'running' if node.is_running else 'off'}")
        case _:
            allow_many_files()
            getattr(Node, asked.command)(lab.node(asked.node))
    return 0


def greet(lab: Lab, nodes: list[Node]) -> None:
    """Say how to go on, now that the nodes are up."""
    first, *_ = nodes
    guest = lab.give_guest(first)
    print(f"Nodes:   {', '.join(f'{node.name} ({node.address})' for node in nodes)}")
    print(f"Root's password on each of them: {PASSWORD}")
    print(f"Guest:   {guest} on {first.name}, a small Linux for mcv create --image")


def log_in(node: Node, words: list[str]) -> None:
    """Become the ssh command, so that its terminal and exit code are the node's."""
    if not node.is_running:
        raise LabError(f"{node.name} is not running.")
    command = " ".join(words) if len(words) == 1 else shlex.join(words)
    line = node.ssh(*([command] if words else []), terminal=not words and sys.stdin.isatty())
    os.execvp(line[0], line)


if __name__ == "__main__":
    sys.exit(main())
