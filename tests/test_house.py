"""The house keeps its floors: who imports whom, and where each foreign package lives."""

import ast
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest

from mcv.consensus.protocol import Consensus

ROOT = Path(__file__).parent.parent / "mcv"

# The floors, the ground first, in packages. A module imports from floors below its own and
# from its neighbours of one package.
FLOORS: list[tuple[str, str]] = [
    ("ground", "mcv mcv.carrying mcv.errors mcv.printable mcv.settings mcv.sizes mcv.timestamps"),
    ("system", "mcv.system.*"),
    ("etcd", "mcv.etcd.*"),
    ("high availability", "mcv.ha.*"),
    ("the document", "mcv.document.*"),
    (
        "what both ways of agreement share",
        "mcv.consensus.protocol mcv.consensus.unanimous.contact mcv.consensus.unanimous.held "
        "mcv.consensus.unanimous.judge mcv.consensus.unanimous.timeouts "
        "mcv.consensus.unanimous.wire",
    ),
    (
        "tools",
        "mcv.drivers.* mcv.rpc.* mcv.consensus.* mcv.consensus.etcd.* mcv.consensus.unanimous.* "
        "mcv.transaction.*",
    ),
    ("rules", "mcv.rules.*"),
    ("decisions of high availability", "mcv.rules.ha.*"),
    ("who decides", "mcv.ha.manager mcv.ha.pair"),
    ("doors", "mcv.host"),
    ("what operators want", "mcv.wanted"),
    ("replication", "mcv.drbd.*"),
    ("storage", "mcv.storage.*"),
    ("bridges", "mcv.network.needs mcv.network.tags"),
    ("verbs of parts", "mcv.vm.* mcv.network.* mcv.recovery.* mcv.service.*"),
    ("what is seen", "mcv.status.* mcv.check.*"),
    ("verbs of the cluster", "mcv.cluster.*"),
    ("the table", "mcv.api.*"),
    ("commands", "mcv.commands.*"),
    ("programs", "mcv.cli mcv.daemon"),
]

# The programs of the command line know the wire, errors and sizes, and nothing of the daemon.
COMMANDS_MAY = (
    *("mcv", "mcv.carrying", "mcv.errors", "mcv.printable", "mcv.sizes", "mcv.settings"),
    "mcv.rpc.client",
)

# The one program that DRBD's kernel module starts: it needs the wire and no daemon.
PROGRAMS = {"mcv.drbd.handler"}

HOMES = {
    "click": ("mcv.cli", "mcv.commands."),
    "pycdlib": ("mcv.drivers.nocloud",),
    "tabulate": ("mcv.commands.output",),
    "Pyro5": ("mcv.rpc.",),
    "libvirt": ("mcv.drivers.libvirt_connection",),
    "libvirt_qemu": ("mcv.drivers.libvirt_connection",),
    "paramiko": ("mcv.system.ssh", "mcv.system.known_hosts"),
    "cryptography": ("mcv.rpc.pki", "mcv.commands.rfb"),
    "filelock": ("mcv.system.locks",),
    "subprocess": ("mcv.system.process",),
}


# What the values are made of: any module may import it.
EVERYWHERE = ("msgspec",)


def modules() -> dict[str, Path]:
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = ("mcv", *path.relative_to(ROOT).with_suffix("").parts)
        found[".".join(part for part in parts if part != "__init__")] = path
    return found


MODULES = modules()


class Import(NamedTuple):
    """A line of a module that imports another one at run time, wherever the line stands."""

    module: str
    line: int


def imports(path: Path) -> Iterator[Import]:
    for node in _run_time(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield Import(whole if whole in MODULES else node.module, node.lineno)


def _run_time(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those under `if TYPE_CHECKING`, which only a type checker reads."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        yield child
        yield from _run_time(child)


def place(module: str, line: int) -> str:
    return f"{MODULES[module].relative_to(ROOT.parent)}:{line}"


def floor_of(module: str) -> int:
    """The floor that names a module; by name it comes before its whole package."""
    for pattern in (module, package(module) + ".*"):
        for height, (_, names) in enumerate(FLOORS):
            if pattern in names.split():
                return height
    pytest.fail(f"{module} stands on no floor: add its package to FLOORS in {__file__}", False)


def package(module: str) -> str:
    if MODULES[module].name == "__init__.py" and module != "mcv":
        return module
    return module.rpartition(".")[0] or module


def broken_chain(importer: str, imported: Import) -> str:
    """What is wrong with an import, and how to mend it; "" where it keeps the floors."""
    here, there = floor_of(importer), floor_of(imported.module)
    if there < here or (there == here and package(importer) == package(imported.module)):
        return ""
    return (
        f"{place(importer, imported.line)}: {importer} (floor {here}, {FLOORS[here][0]}) imports "
        f"{imported.module} (floor {there}, {FLOORS[there][0]}).\n"
        f"  Mend it: move what {importer} needs down to a floor below {here}, or have the caller, "
        f"on a floor above {max(here, there)}, pass the value in."
    )


def test_a_module_imports_only_from_the_floors_below_it() -> None:
    broken = [
        chain
        for module in MODULES
        if module not in PROGRAMS
        for imported in imports(MODULES[module])
        if imported.module in MODULES and imported.module != module
        if (chain := broken_chain(module, imported))
    ]

    if broken:
        pytest.fail("\n".join(broken), pytrace=False)


def test_every_floor_has_its_packages() -> None:
    empty = [
        name
        for _, names in FLOORS
        for name in names.split()
        if not any(module == name or f"{package(module)}.*" == name for module in MODULES)
    ]

    assert empty == [], "FLOORS names what is not there: take it out"


def cycle(edges: dict[str, dict[str, int]]) -> list[str]:
    """A circle of modules that import each other, the first of it once more at its end."""
    done: set[str] = set()

    def walk(module: str, way: list[str]) -> list[str]:
        if module in way:
            return [*way[way.index(module) :], module]
        if module in done:
            return []
        for imported in edges.get(module, {}):
            if circle := walk(imported, [*way, module]):
                return circle
        done.add(module)
        return []

    return next((circle for module in edges if (circle := walk(module, []))), [])


def test_no_modules_import_each_other_in_a_circle() -> None:
    edges = {
        module: {
            imported.module: imported.line
            for imported in imports(path)
            if imported.module in MODULES and imported.module != module
        }
        for module, path in MODULES.items()
    }

    circle = cycle(edges)

    if circle:
        chain = [
            f"{place(importer, edges[importer][imported])}: {importer} imports {imported}"
            for importer, imported in pairwise(circle)
        ]
        mend = "Mend it: move what two of them need into a third module, below both."
        pytest.fail("\n".join([*chain, mend]), pytrace=False)


def test_a_circle_is_found() -> None:
    assert cycle({"a": {"b": 1}, "b": {"c": 1, "d": 2}, "c": {}, "d": {"b": 3}}) == ["b", "d", "b"]
    assert cycle({"a": {"b": 1, "c": 1}, "b": {"c": 1}}) == []


def test_an_import_from_above_is_told_with_its_place_and_the_way_to_mend_it() -> None:
    told = broken_chain("mcv.system.files", Import("mcv.vm.create", 7))

    assert told.startswith("mcv/system/files.py:7: mcv.system.files (floor 1, system) imports")
    assert "move what mcv.system.files needs down" in told and "pass the value in" in told
    assert broken_chain("mcv.vm.create", Import("mcv.system.files", 7)) == ""


@pytest.mark.parametrize("foreign", HOMES)
def test_a_foreign_package_has_one_home(foreign: str) -> None:
    users = {
        module: imported.line
        for module, path in MODULES.items()
        for imported in imports(path)
        if imported.module.partition(".")[0] == foreign
    }
    strangers = [
        f"{place(module, line)}: {module} imports {foreign}, whose home is "
        f"{' '.join(HOMES[foreign])}. Mend it: ask for what it needs there."
        for module, line in users.items()
        if not module.startswith(HOMES[foreign])
    ]

    assert users
    if strangers:
        pytest.fail("\n".join(strangers), pytrace=False)


def test_every_foreign_package_has_a_home() -> None:
    known = {"mcv", *HOMES, *EVERYWHERE, *sys.stdlib_module_names}
    homeless = [
        f"{place(module, imported.line)}: {imported.module} has no home: add a line to HOMES."
        for module, path in MODULES.items()
        for imported in imports(path)
        if imported.module.partition(".")[0] not in known
    ]

    if homeless:
        pytest.fail("\n".join(homeless), pytrace=False)


def test_the_command_line_knows_the_wire_and_nothing_of_the_daemon() -> None:
    wrong = [
        f"{place(module, imported.line)}: {module} imports {imported.module}, a part of the "
        "daemon. Mend it: ask the daemon by an operation."
        for module, path in MODULES.items()
        if module == "mcv.cli" or module.startswith("mcv.commands")
        for imported in imports(path)
        if imported.module.startswith("mcv")
        and not imported.module.startswith(("mcv.commands", "mcv.rpc."))
        and imported.module not in COMMANDS_MAY
    ]

    if wrong:
        pytest.fail("\n".join(wrong), pytrace=False)


@pytest.mark.parametrize("module", ["mcv.transaction.executor", "mcv.document.store"])
def test_what_carries_out_is_handed_its_call_and_imports_neither_table_nor_wire(
    module: str,
) -> None:
    known = {
        imported.module
        for imported in imports(MODULES[module])
        if imported.module.startswith(("mcv.api.table", "mcv.rpc"))
    }

    assert known == set()


CONSENSUS_HOMES = ("mcv.consensus.", "mcv.daemon", "mcv.api.consensus_calls")

# Names of Host that would open a way around mcv/consensus/protocol.py.
PARTS_OF_CONSENSUS = {"store", "agreed", "agreement"}


def test_consensus_is_known_by_its_protocol_alone() -> None:
    wrong = [
        f"{place(module, imported.line)}: {module} imports {imported.module}. Only mcv.daemon and "
        "mcv.api.consensus_calls know how members agree. Mend it: ask host.consensus."
        for module, path in MODULES.items()
        if not module.startswith(CONSENSUS_HOMES)
        for imported in imports(path)
        if imported.module.startswith("mcv.consensus.")
        and imported.module != "mcv.consensus.protocol"
    ]

    if wrong:
        pytest.fail("\n".join(wrong), pytrace=False)


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


# Whatever a verb wants of a disk it asks the disk's kind of storage.
KNOW_DRBD = ("mcv.drbd.", "mcv.storage.", "mcv.check.")


def test_drbd_is_driven_by_replication_storage_and_the_check_alone() -> None:
    wrong = [
        place(module, node.lineno)
        for module, path in MODULES.items()
        if not module.startswith(KNOW_DRBD)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and ast.unparse(node) == "host.drbd"
    ]

    if wrong:
        where = "\n".join(wrong)
        pytest.fail(
            f"{where}: host.drbd outside {', '.join(KNOW_DRBD)}\n"
            "  Mend it: ask storage.of(disk), or a function of storage/drbd.py.",
            pytrace=False,
        )
