"""Names of VMs, nodes and networks, as a document holds them and as somebody types them."""

import msgspec
import pytest

from mcv.document.names import Name, problem_with_name


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
