"""Schema 6: what high availability manages, fence devices, and the plugs of nodes."""

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from mcv.document.fencing import FenceDevice, Plug
from mcv.document.ha_entries import FailoverDomain, HaEntry, Script, Service, Tie
from mcv.document.model import Cluster, decode, digest, encode
from mcv.document.schema_4 import words_of_node
from mcv.document.subject import Subject
from tests.documents import after, document, of_schema, vm

DIGEST = "0" * 64
SERVICE = Service(
    name="www",
    address="192.0.2.80/24",
    bridge="br0",
    units=("nginx.service",),
    scripts=(Script(path="/usr/local/sbin/www", digest=DIGEST),),
    node="n1",
)


def full() -> Cluster:
    base = document("n1", "n2").with_vm(vm("web1"))
    plug = Plug(device="bmc1", port="3", tested="2026-01-01T00:00:00Z", seconds=2)
    node = replace(base.node("n1"), levels=((plug,),), macs=("52:54:00:00:00:01",))
    return replace(
        base.with_node(node),
        ha_vms={"web1": HaEntry(domain="front")},
        services={"www": SERVICE},
        domains={"front": FailoverDomain(nodes={"n1": 1, "n2": 2}, ordered=True)},
        ties=(Tie(kind="apart", names=("web1", "www")),),
        fence_devices={"bmc1": FenceDevice(agent="fence_ipmilan", secrets=("password",))},
    )


def test_a_document_of_schema_6_is_read_as_it_was_written() -> None:
    assert decode(encode(full())) == full()


def test_a_document_of_schema_5_has_no_word_of_schema_6_and_manages_nothing() -> None:
    raw = msgspec.json.decode(encode(replace(full(), schema=5)))

    assert list(raw)[-1] == "ha"
    assert list(raw["nodes"]["n1"])[-1] == "evidence"
    read = decode(encode(of_schema(5, full())))
    assert (read.ha_vms, read.services, read.domains, read.ties, read.fence_devices) == (
        *({}, {}, {}, ()),
        {},
    )
    assert (read.node("n1").levels, read.node("n1").macs) == ((), ())


def test_a_document_of_schema_5_keeps_its_hash() -> None:
    before = of_schema(5, document())

    assert digest(decode(encode(before))) == digest(before)


@pytest.mark.parametrize("schema", [1, 2, 3, 4, 5])
def test_a_document_of_before_is_raised_and_manages_nothing_more(schema: int) -> None:
    new = after(of_schema(schema, document()), "document.schema", schema=6)

    assert (new.schema, new.ha_vms, new.services) == (6, {}, {})
    assert decode(encode(new)) == new


def test_a_member_without_plugs_is_told_in_words_that_older_members_know() -> None:
    plain = document().node("n1")

    assert "levels" not in words_of_node(plain)
    assert "levels" in words_of_node(full().node("n1"))


def test_a_service_is_a_subject_that_can_be_claimed() -> None:
    subject = Subject.parse("service:www")

    assert subject == Subject.service("www")
    assert subject in full().subjects()
    assert full().claim_of(subject) is None


WRONG: list[tuple[type[Any], dict[str, Any]]] = [
    (Script, {"path": "/etc/../tmp/x", "digest": DIGEST}),
    (Script, {"path": "relative", "digest": DIGEST}),
    (Script, {"path": "/etc/init.d/x", "digest": "0"}),
    (Service, {"name": "www", "address": "192.0.2.80", "bridge": "br0", "node": "n1"}),
    (Service, {"name": "www", "address": "fe80::1/64", "bridge": "br0", "node": "n1"}),
    (
        Service,
        {"name": "w", "address": "1.2.3.4/8", "bridge": "b", "node": "n", "units": ["x.socket"]},
    ),
    (HaEntry, {"failed": "two\nlines"}),
    (FenceDevice, {"agent": "fence_x;id"}),
    (FenceDevice, {"agent": "fence_x", "parameters": {"ip": "10.0.0.1\naction=on"}}),
    (Plug, {"device": "bmc1", "port": "1\naction=on"}),
]


@pytest.mark.parametrize(("kind", "values"), WRONG)
def test_a_value_that_would_be_another_path_or_another_line_is_not_read(
    kind: type[Any], values: dict[str, Any]
) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(values, kind)
