"""Names, as documents and messages hold them and as somebody types them."""

import msgspec
import pytest

from mcv.document.disks import DrbdDisk
from mcv.document.model import Node
from mcv.document.names import Name, problem_with_name, problem_with_node_name
from mcv.document.networks import Network
from mcv.document.subject import Subject
from mcv.errors import McvError
from mcv.etcd.keys import ClusterKeys
from mcv.transaction import journal


class Named(msgspec.Struct):
    name: Name


@pytest.mark.parametrize("name", ["a", "web1", "a-b", "a" * 63])
def test_a_valid_name_is_taken(name: str) -> None:
    assert msgspec.convert({"name": name}, Named).name == name
    assert problem_with_name(name, "VM") is None


@pytest.mark.parametrize("name", ["", "-a", "a-", "A", "a" * 64, "web1\n", "../web1", "a b", "ä"])
def test_any_other_is_refused_in_a_document_and_on_the_command_line(name: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"name": name}, Named)
    assert problem_with_name(name, "VM") is not None


@pytest.mark.parametrize(("what", "said"), [("VM", "a VM"), ("image", "an image")])
def test_the_refusal_of_a_name_has_the_article_of_its_kind(what: str, said: str) -> None:
    problem = problem_with_name("A_", what)
    assert problem is not None
    assert problem.message == f"'A_' is no name for {said}."


def test_a_node_is_not_called_what_etcd_keeps_something_else_under() -> None:
    """lease/manager is the key of the node that decides."""
    problem = problem_with_node_name("manager")
    assert problem is not None and "A node is not called manager" in problem.message
    assert problem_with_node_name("managers") is None
    assert "no name for a node" in str(problem_with_node_name("A_"))
    assert ClusterKeys("x").lease("manager") == ClusterKeys("x").manager


# What another node sends becomes a part of a path, or of a resource file, on this one

OUTSIDE = ["../../../opt/evil", "/tmp/pwn", "a/b", "..", ".hidden", "a\n", "a b", "a;b", "a{}", ""]
DISK = {
    "id": 1,
    "size": 1,
    "volume": "v",
    "volume_groups": {"n1": "vg0"},
    "resource": "r",
    "minor": 1,
    "port": 1,
    "storage": "drbd",
}
NODE = {
    "name": "n1",
    "hostname": "n1",
    "ip_address": "fd00::1",
    "drbd_address": "10.0.0.1",
    "certificate": "",
}


@pytest.mark.parametrize("name", OUTSIDE)
@pytest.mark.parametrize(
    ("value", "key", "type"),
    [
        (DISK, "resource", DrbdDisk),
        (DISK, "volume", DrbdDisk),
        (NODE, "hostname", Node),
        (NODE, "ip_address", Node),
        (NODE, "drbd_address", Node),
        ({"name": "lan", "bridge": "br0"}, "bridge", Network),
    ],
)
def test_a_document_holds_no_name_that_leads_out_of_its_place(
    value: dict[str, object], key: str, type: type, name: str
) -> None:
    assert msgspec.convert(value, type)
    with pytest.raises(msgspec.ValidationError, match=key):
        msgspec.convert(value | {key: name}, type)


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_volume_group_is_a_plain_name(name: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(DISK | {"places": {"n1": name}}, DrbdDisk)


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_journal_entry_names_no_path(name: str) -> None:
    entry = {"schema": 2, "operation": "a1", "title": "t", "who": "w", "node": "n1"}
    claim = {"subject": "vm:web1", "number": [0, 0]}
    assert journal.decode(msgspec.json.encode(entry | {"claims": [claim]}).decode())

    for changed in ({"operation": name}, {"claims": [claim | {"subject": f"vm:{name}"}]}):
        with pytest.raises(McvError):
            journal.decode(msgspec.json.encode(entry | changed).decode())
    with pytest.raises(McvError):
        Subject.parse(f"vm:{name}")
