"""The state directory is the one whose document is of this node, whatever the host is called."""

from dataclasses import replace
from pathlib import Path

import pytest

from mcv.document import place
from mcv.document.model import Cluster, encode
from mcv.errors import Refused
from mcv.settings import Settings
from tests.documents import document


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """As mcv.conf and the host's name make them: n1 on the host n1.example.org."""
    return Settings(
        hostname="n1.example.org", node="n1", address="10.0.0.1", drbd_address="", var=tmp_path
    )


def renamed(settings: Settings, hostname: str = "web", node: str = "web") -> Settings:
    return replace(settings, hostname=hostname, node=node)


def put(settings: Settings, name: str, cluster: Cluster | str, certificate: str = "") -> Path:
    """A state directory as mcvd leaves it."""
    directory = settings.var / name
    (directory / "pki").mkdir(parents=True)
    text = cluster if isinstance(cluster, str) else encode(cluster)
    (directory / "config.json").write_text(text)
    if certificate:
        (directory / "pki" / "certificate.pem").write_text(certificate)
    return directory


def of(node: str) -> tuple[Cluster, str]:
    """The document of a cluster of three, and the certificate of one of its members."""
    cluster = document("n1", "n2", "web")
    return cluster, cluster.nodes[node].certificate


def test_a_host_without_any_document_gets_a_directory_of_its_own_name(settings: Settings) -> None:
    assert place.located(settings).state == settings.var / "n1.example.org"
    (settings.var / "other" / "pki").mkdir(parents=True)
    assert place.located(settings).state == settings.var / "n1.example.org"
    assert place.located(replace(settings, var=settings.var / "gone")).directory == ""


@pytest.mark.parametrize("name", ["images", "pool"])
def test_a_host_that_is_called_as_what_lies_beside_its_state(settings: Settings, name: str) -> None:
    host = renamed(settings, hostname=name, node=name)
    new = place.located(host)
    assert new.state == settings.var / f"{name}.node"

    put(settings, new.state.name, document(name))
    assert place.located(host).state == new.state


@pytest.mark.parametrize("name", ["n1.example.org", "n1", "former-name"])
def test_the_directory_whose_document_is_of_this_node_is_taken(
    settings: Settings, name: str
) -> None:
    put(settings, name, *of("n1"))
    put(settings, "clone", *of("n2"))

    assert place.located(settings).state == settings.var / name


def test_a_renamed_host_begins_nothing_beside_its_document_and_says_the_ways_out(
    settings: Settings,
) -> None:
    directory = put(settings, "n1.example.org", *of("n1"))
    host = renamed(settings)

    with pytest.raises(Refused) as refused:
        place.located(host)

    said = f"{refused.value.message} {refused.value.hint}"
    assert f"the node web now, and {directory} holds the document of n1" in said
    assert "hostnamectl set-hostname n1.example.org" in said
    assert "set node = n1 in /etc/mcv/mcv.conf" in said
    assert f"mv {directory} /root/" in said
    assert sorted(path.name for path in settings.var.iterdir()) == ["n1.example.org"]


def test_every_way_out_leads_out(settings: Settings) -> None:
    directory = put(settings, "n1.example.org", *of("n1"))

    assert place.located(settings).state == directory
    with_node = place.located(renamed(settings, node="n1"))
    assert (with_node.state, with_node.pki) == (directory, directory / "pki")
    directory.rename(settings.var.parent / "away")
    assert place.located(renamed(settings)).state == settings.var / "web"


def test_two_directories_of_this_node_are_refused_by_name(settings: Settings) -> None:
    put(settings, "n1", *of("n1"))
    put(settings, "n1.example.org", *of("n1"))

    with pytest.raises(Refused, match=r"n1 and .*n1\.example\.org") as refused:
        place.located(settings)

    assert f"out of {settings.var}" in refused.value.hint


def test_a_lone_node_is_known_without_its_key(settings: Settings) -> None:
    directory = put(settings, "former-name", document("n1"))

    assert place.located(settings).state == directory
    with pytest.raises(Refused, match="holds the document of n1"):
        place.located(renamed(settings))


def test_without_its_key_a_member_is_known_by_the_host_name_in_the_document(
    settings: Settings,
) -> None:
    cluster, _ = of("n1")
    put(settings, cluster.nodes["n2"].hostname, cluster)

    with pytest.raises(Refused, match="holds the document of n2"):
        place.located(settings)


@pytest.mark.parametrize("torn", ["", "{", "\udcff"])
def test_a_torn_document_is_this_nodes_where_its_directory_is_called_so(
    settings: Settings, torn: str
) -> None:
    directory = put(settings, "n1.example.org", "")
    (directory / "config.json").write_bytes(torn.encode(errors="surrogateescape"))

    assert place.located(settings).state == directory
    assert place.located(renamed(settings, node="n1")).state == directory
    with pytest.raises(Refused, match="holds the document of another node"):
        place.located(renamed(settings))


def test_who_is_handed_the_directory_knows_the_node_whatever_the_host_is_called(
    settings: Settings,
) -> None:
    directory = put(settings, "n1.example.org", *of("n1"))

    at = place.at(renamed(settings), directory)

    assert (at.node, at.state, at.notes) == ("n1", directory, directory / "notes")
