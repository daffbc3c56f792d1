"""What operations may rely on in a call to another node: answers, refusals, silence."""

import json
from typing import Any, Protocol

import pytest

from mcv.errors import McvError, NotFound, NotPermitted, OutOfStep, PeerUnreachable, Refused


class Stand(Protocol):
    """Two nodes of one cluster, in step; the calls go from the one to the other."""

    there: str

    def call(self, node: str, operation: str, /, **params: Any) -> Any: ...

    def kill(self) -> None:
        """End the other node's daemon, so that nobody answers there."""

    def revive(self) -> None: ...


def an_answer_is_plain_values(stand: Stand) -> None:
    answer = stand.call(stand.there, "config.poll")

    assert isinstance(answer, dict) and answer
    assert json.loads(json.dumps(answer)) == answer


def a_refusal_arrives_whole(stand: Stand) -> None:
    with pytest.raises(Refused, match=r"There is no operation vm\.fly") as raised:
        stand.call(stand.there, "vm.fly")

    assert type(raised.value) is Refused
    assert raised.value.hint == "Do both sides run the same mcv?"


def parameters_that_an_operation_does_not_know_are_refused(stand: Stand) -> None:
    with pytest.raises(Refused, match="called in a way that this mcv does not know"):
        stand.call(stand.there, "config.poll", depth=1)


def what_is_no_name_is_refused_on_the_way(stand: Stand) -> None:
    for name in ("../web1", "web1;reboot", 5):
        with pytest.raises(Refused) as raised:
            stand.call(stand.there, "config.poll", name=name)
        assert "called in a way" not in raised.value.message


def what_is_not_for_peers_is_not_permitted(stand: Stand) -> None:
    with pytest.raises(NotPermitted, match=r"cluster\.info is not for peers"):
        stand.call(stand.there, "cluster.info")


def a_step_without_a_claim_is_out_of_step(stand: Stand) -> None:
    with pytest.raises(OutOfStep, match="came without a claim"):
        stand.call(stand.there, "vm.define", name="web1")


def a_mistake_over_there_is_told_as_one(stand: Stand) -> None:
    with pytest.raises(McvError, match=r"node\.mend ended in an internal error") as raised:
        stand.call(stand.there, "node.mend", deeds=["no deed"])

    assert type(raised.value) is McvError
    assert stand.call(stand.there, "config.poll")


def a_node_that_nobody_knows_is_not_found(stand: Stand) -> None:
    with pytest.raises(NotFound, match="There is no node nobody"):
        stand.call("nobody", "config.poll")


def a_node_without_a_daemon_is_unreachable_and_the_way_to_look_is_told(stand: Stand) -> None:
    stand.kill()

    try:
        with pytest.raises(PeerUnreachable, match=f"{stand.there} does not answer") as raised:
            stand.call(stand.there, "config.poll")
        assert f"on {stand.there}: systemctl status mcvd" in raised.value.hint
        # Its host lives: a declaration would run its VMs twice.
        assert "--confirm-dead" not in raised.value.hint
    finally:
        stand.revive()
