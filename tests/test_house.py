"""The house keeps its floors: who imports whom, and where each foreign package lives."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from mcv.consensus.protocol import Consensus

ROOT = Path(__file__).parent.parent / "mcv"

# The floors, the ground first, in packages. A module imports from floors below its own and
# from its neighbours of one package.
FLOORS: list[tuple[str, str]] = [
    ("ground", "mcv mcv.errors mcv.settings mcv.sizes mcv.timestamps"),
    ("system", "mcv.system.*"),
    ("the document", "mcv.document.*"),
    (
        "tools",
        "mcv.drivers.* mcv.rpc.* mcv.consensus.* mcv.consensus.unanimous.* mcv.transaction.*",
    ),
    ("doors", "mcv.host"),
    ("rules", "mcv.rules.*"),
    ("replication", "mcv.drbd.*"),
    ("storage", "mcv.storage.*"),
    ("verbs of parts", "mcv.vm.* mcv.network.* mcv.recovery.*"),
    ("what is seen", "mcv.status.* mcv.check.*"),
    ("verbs of the cluster", "mcv.cluster.*"),
    ("the table", "mcv.api.*"),
    ("commands", "mcv.commands.*"),
    ("programs", "mcv.cli mcv.daemon"),
]

# The programs of the command line know the wire, errors and sizes, and nothing of the daemon.
COMMANDS_MAY = ("mcv", "mcv.errors", "mcv.sizes", "mcv.settings", "mcv.rpc.client")

# The one program that DRBD's kernel module starts: it needs the wire and no daemon.
PROGRAMS = {"mcv.drbd.handler"}

HOMES = {
    "click": ("mcv.cli", "mcv.commands."),
    "tabulate": ("mcv.commands.output",),
    "Pyro5": ("mcv.rpc.",),
    "libvirt": ("mcv.drivers.libvirt_connection",),
    "paramiko": ("mcv.system.ssh",),
    "filelock": ("mcv.system.locks",),
    "subprocess": ("mcv.system.process",),
}


def modules() -> dict[str, Path]:
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = ("mcv", *path.relative_to(ROOT).with_suffix("").parts)
        found[".".join(part for part in parts if part != "__init__")] = path
    return found


MODULES = modules()


def imports(path: Path) -> Iterator[str]:
    """Every module that a module imports at run time, wherever the line stands."""
    for node in _run_time(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in MODULES else node.module


def _run_time(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those under `if TYPE_CHECKING`, which only a type checker reads."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        yield child
        yield from _run_time(child)


def floor_of(module: str) -> int:
    """The floor that names a module; by name it comes before its whole package."""
    if MODULES[module].name == "__init__.py" and module != "mcv":
        return 0
    for wanted in (module, module.rpartition(".")[0] + ".*"):
        for height, (_, names) in enumerate(FLOORS):
            if wanted in names.split():
                return height
    raise AssertionError(f"{module} stands on no floor: add it to FLOORS")


def package(module: str) -> str:
    return module.rpartition(".")[0] or module


def is_neighbour(one: str, other: str) -> bool:
    return package(one) == package(other)


@pytest.mark.parametrize("module", [one for one in MODULES if one not in PROGRAMS])
def test_a_module_imports_only_from_the_floors_below_it(module: str) -> None:
    here = floor_of(module)

    wrong = []
    for imported in imports(MODULES[module]):
        if imported in MODULES and imported != module:
            there = floor_of(imported)
            if there > here or (there == here and not is_neighbour(module, imported)):
                wrong.append(f"{imported} ({FLOORS[there][0]})")

    assert wrong == [], f"{module} stands on the floor of {FLOORS[here][0]}"


@pytest.mark.parametrize("package_name", HOMES)
def test_a_foreign_package_has_one_home(package_name: str) -> None:
    users = {
        module
        for module, path in MODULES.items()
        if any(one.partition(".")[0] == package_name for one in imports(path))
    }

    assert users
    assert {user for user in users if not user.startswith(HOMES[package_name])} == set()


def test_the_command_line_knows_the_wire_and_nothing_of_the_daemon() -> None:
    wrong = {
        f"{module}: {imported}"
        for module, path in MODULES.items()
        if module == "mcv.cli" or module.startswith("mcv.commands")
        for imported in imports(path)
        if imported.startswith("mcv")
        and not imported.startswith(("mcv.commands", "mcv.rpc."))
        and imported not in COMMANDS_MAY
    }

    assert wrong == set()


@pytest.mark.parametrize("module", ["mcv.transaction.executor", "mcv.document.store"])
def test_what_carries_out_is_handed_its_call_and_imports_neither_table_nor_wire(
    module: str,
) -> None:
    known = {
        one for one in imports(MODULES[module]) if one.startswith(("mcv.api.table", "mcv.rpc"))
    }

    assert known == set()


CONSENSUS_HOMES = ("mcv.consensus.", "mcv.daemon", "mcv.api.consensus_calls")

# Names of Host that would open a way around mcv/consensus/protocol.py.
PARTS_OF_CONSENSUS = {"store", "agreed", "agreement"}


def test_consensus_is_known_by_its_protocol_alone() -> None:
    wrong = {
        f"{module}: {imported}"
        for module, path in MODULES.items()
        if not module.startswith(CONSENSUS_HOMES)
        for imported in imports(path)
        if imported.startswith("mcv.consensus.") and imported != "mcv.consensus.protocol"
    }

    assert wrong == set(), "only mcv.daemon and mcv.api.consensus_calls know how members agree"


def test_nobody_reaches_into_a_part_of_consensus() -> None:
    allowed = {name for name in vars(Consensus) if not name.startswith("_")}
    wrong = []
    for module, path in MODULES.items():
        if module.startswith(CONSENSUS_HOMES):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Attribute):
                continue
            owner = ast.unparse(node.value).rpartition(".")[2]
            if owner == "consensus" and node.attr not in allowed:
                wrong.append(f"{module}:{node.lineno}: {ast.unparse(node)}")
            if owner == "host" and node.attr in PARTS_OF_CONSENSUS:
                wrong.append(f"{module}:{node.lineno}: {ast.unparse(node)}")

    assert wrong == [], f"ask host.consensus for one of {', '.join(sorted(allowed))}"
