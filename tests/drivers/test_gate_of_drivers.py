"""Every way of mcv to a promotion, a start or a resume leads through the gate."""

import ast
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, TypeVar

import pytest

from mcv.drivers.drbd import Drbd
from mcv.errors import Refused
from tests.drivers import drbd_output
from tests.recorder import Recorder

T = TypeVar("T")

ROOT = Path(__file__).parent.parent.parent / "mcv"

# What libvirt's module has that lets a guest begin or go on, by the names of its methods.
BEGINS_A_DOMAIN = {
    *("create", "createWithFlags", "createWithFiles", "createXML", "createXMLWithFiles"),
    *("createLinux", "restore", "restoreFlags", "restoreParams", "revertToSnapshot"),
    *("resume", "pMWakeup", "migrate", "migrate2", "migrate3"),
    *("qemuAttach", "managedSave", "snapshotCreateXML"),
}
# What drbdadm, drbdsetup and drbdmeta are told that makes a replica count, or be written.
BEGINS_A_REPLICA = {"primary", "resume-io", "set-gi", "--force", "--overwrite-data-of-peer"}

# Of other things than domains and roles: the function in which it stands, and the word.
OTHER = {
    ("drivers/libvirt_networks.py", "bring_up", "create"),  # a network
    ("drivers/drbd.py", "ask_handler_again", "--force"),  # of a disconnection
    ("drivers/drbd_metadata.py", "create", "--force"),  # of new metadata
}
ENTRANCES = {"self._gate.begin", "self._gate.start"}


class Place(NamedTuple):
    """A method or a word of a command in a function of a file, and whether the gate is around."""

    file: str
    function: str
    word: str
    is_inside: bool


def nodes(
    tree: ast.AST, function: str = "", is_inside: bool = False
) -> Iterator[tuple[ast.AST, str, bool]]:
    """Every node, the function around it, and whether it is in what is handed to the gate."""
    for node in ast.iter_child_nodes(tree):
        is_entrance = isinstance(node, ast.Call) and ast.unparse(node.func) in ENTRANCES
        name = node.name if isinstance(node, ast.FunctionDef) else function
        yield node, name, is_inside
        yield from nodes(node, name, is_inside or is_entrance)


def places(path: Path) -> Iterator[Place]:
    where = str(path.relative_to(ROOT))
    for node, function, is_inside in nodes(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute) and node.attr in BEGINS_A_DOMAIN:
            yield Place(where, function, node.attr, is_inside)
        if isinstance(node, ast.Constant) and node.value in BEGINS_A_REPLICA:
            yield Place(where, function, str(node.value), is_inside)


def is_behind(path: Path, function: str) -> bool:
    """Whether a function of a file is called by nothing but what the gate has let through.

    Others than private and nested ones may be called from anywhere.
    """
    tree = ast.parse(path.read_text())
    nested = {
        inner.name
        for outer in ast.walk(tree)
        if isinstance(outer, ast.FunctionDef)
        for inner in ast.walk(outer)
        if isinstance(inner, ast.FunctionDef) and inner is not outer
    }
    uses = [
        (around, is_inside)
        for node, around, is_inside in nodes(tree)
        if (isinstance(node, ast.Attribute) and node.attr == function)
        or (isinstance(node, ast.Name) and node.id == function)
    ]
    if not uses or not (function.startswith("_") or function in nested):
        return False
    return all(is_inside or is_behind(path, around) for around, is_inside in uses)


def _is_of_tools(path: Path) -> bool:
    return "drbd" in path.name or "libvirt" in path.name


FILES = [path for path in sorted((ROOT / "drivers").glob("*.py")) if _is_of_tools(path)]
FILES.append(ROOT / "ha" / "leftovers.py")


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_nothing_of_a_driver_lets_a_guest_or_a_replica_begin_beside_the_gate(path: Path) -> None:
    beside = [
        place
        for place in places(path)
        if not place.is_inside and not is_behind(path, place.function) and place[:3] not in OTHER
    ]

    assert not beside, (
        "A start, a resume or a promotion goes through Passage (mcv/ha/gate.py): see how "
        "Drbd.promote and Hypervisor.start do it."
    )


def test_what_is_looked_for_is_found() -> None:
    found = [place for path in FILES for place in places(path) if place[:3] not in OTHER]

    assert {place.word for place in found} == {
        *("primary", "--force", "set-gi"),
        *("create", "resume", "pMWakeup"),
    }


def test_only_drivers_run_the_tools_and_hold_libvirt_s_objects() -> None:
    """So what this file looks through is all there is."""
    words = {'"drbdadm"', '"drbdsetup"', '"drbdmeta"', '"virsh"', "libvirt.open("}
    elsewhere = {
        str(path.relative_to(ROOT))
        for path in ROOT.rglob("*.py")
        if path.parent.name != "drivers" and any(word in path.read_text() for word in words)
    }

    # Which packages the tools come with; what mcv-lease looks for, which begins nothing.
    assert elsewhere == {"system/process.py", "ha/leftovers.py"}


class ShutGate:
    """A gate that lets nothing through, and remembers who came."""

    def __init__(self) -> None:
        self.refused: list[str] = []

    def begin(self, what: str, act: Callable[[], T]) -> T:
        self.refused.append(what)
        raise Refused(f"n1 may not {what} now.")

    def start(self, name: str, act: Callable[[], T], is_answer: Callable[[Exception], bool]) -> T:
        return self.begin(f"start {name}", act)

    def left(self) -> list[str]:
        return []

    def unmark(self, name: str) -> None:
        raise AssertionError


@pytest.mark.parametrize(
    ("verb", "arguments", "release"),
    [
        ("promote", ["web1"], "8.4.11"),
        ("promote_by_force", ["web1"], "8.4.11"),
        ("clear_outdated", ["web1", 100, "/dev/vg/web1"], "8.4.11"),
        ("clear_outdated", ["web1", 100, "/dev/vg/web1"], "9.2.8"),
    ],
)
def test_a_shut_gate_runs_no_command_of_drbd(
    tmp_path: Path, verb: str, arguments: list[str | int], release: str
) -> None:
    (tmp_path / "sys/module/drbd").mkdir(parents=True)
    (tmp_path / "sys/module/drbd/version").write_text(f"{release}\n")
    run, gate = Recorder({"drbdsetup events2": drbd_output.UNKNOWN}), ShutGate()

    with pytest.raises(Refused, match="may not"):
        getattr(Drbd(run, root=tmp_path, gate=gate), verb)(*arguments)

    assert len(gate.refused) == 1
    assert [command for command in run.commands if "events2" not in command] == []
