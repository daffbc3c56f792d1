"""Errors arrive whole, and mistakes of the daemon without their traceback."""

import logging
from typing import Any

import pytest

from mcv import errors
from mcv.errors import McvError, NotMember, Refused, error_to_plain
from mcv.rpc.values import error_from_plain
from tests.rpc.conftest import Wire, ask


def fail_with(wire: Wire, error: BaseException) -> None:
    def fail() -> Any:
        raise error

    wire.operations["fail"] = fail


@pytest.mark.parametrize("kind", errors.family().values(), ids=lambda kind: kind.__name__)
def test_every_error_reaches_the_operator_whole(wire: Wire, kind: type[McvError]) -> None:
    fail_with(wire, kind("web1 says no.", "Try: mcv list", [("one", "hint"), ("two", "")]))

    with pytest.raises(McvError) as caught:
        wire.client().call("fail")

    assert type(caught.value) is kind
    assert str(caught.value) == "web1 says no."
    assert caught.value.hint == "Try: mcv list"
    assert caught.value.problems == [("one", "hint"), ("two", "")]


def test_an_error_reaches_a_peer_whole_and_the_connection_goes_on(wire: Wire) -> None:
    fail_with(wire, Refused("n3 is offline.", "Bring it back."))
    peers = wire.peers()

    with pytest.raises(Refused, match=r"n3 is offline\.") as caught:
        ask(peers, "fail")

    assert caught.value.hint == "Bring it back."
    assert ask(peers, text="ü") == {"text": "ü"}


def test_what_a_third_node_said_of_a_certificate_is_not_taken_for_this_nodes_word(
    wire: Wire,
) -> None:
    fail_with(wire, NotMember("n3 does not accept this node's certificate."))

    with pytest.raises(Refused) as caught:
        wire.call("fail")

    assert type(caught.value) is Refused


def test_a_mistake_in_an_operation_arrives_without_its_traceback(
    wire: Wire, caplog: pytest.LogCaptureFixture
) -> None:
    fail_with(wire, ValueError("a secret of the daemon"))

    with caplog.at_level(logging.ERROR), pytest.raises(McvError) as caught:
        wire.client().call("fail")

    assert type(caught.value) is McvError
    assert "internal error" in str(caught.value)
    assert "secret" not in repr(caught.value.args)
    assert not hasattr(caught.value, "_pyroTraceback")
    assert "a secret of the daemon" in caplog.text


def test_an_answer_that_cannot_cross_the_wire_is_an_internal_error(wire: Wire) -> None:
    wire.operations["say"] = lambda: object()

    with pytest.raises(McvError, match="internal error"):
        wire.client().call("say")


def test_an_answer_that_is_too_large_is_said_to_be(wire: Wire) -> None:
    wire.operations["say"] = lambda: "x" * (64 * 1024**2)

    with pytest.raises(Refused, match="64 MiB"):
        wire.client().call("say")


def test_an_error_that_this_version_does_not_know_arrives_as_a_plain_one() -> None:
    value = {**error_to_plain(Refused("No.", "Why?")), "class": "OfTomorrow"}

    error = error_from_plain(value)

    assert type(error) is McvError
    assert (error.message, error.hint) == ("No.", "Why?")


@pytest.mark.parametrize(
    "name", ["builtins.SystemExit", "Pyro5.client.Proxy", "Pyro5.core.URI", "mcv.error"]
)
def test_a_request_is_data_and_never_an_object(wire: Wire, name: str) -> None:
    value = {"__class__": name, "__exception__": True, "args": [1], "attributes": {"x": 1}}

    wire.client().call("say", value=value, inner=[value])

    (_caller, _operation, params, _context) = wire.calls[0]
    assert params == {"value": value, "inner": [value]}
