"""What holds of every decision, whatever was seen and kept."""

from typing import get_args

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from mcv.document.availability import Ha
from mcv.document.ha_entries import FailoverDomain, HaEntry, Tie
from mcv.rules.ha.actions import (
    Declare,
    GiveUp,
    Migrate,
    Relocate,
    Resume,
    Start,
    Stop,
    TakeOver,
    Tell,
)
from mcv.rules.ha.decide import decide
from mcv.rules.ha.snapshot import (
    ClaimSeen,
    FenceSeen,
    LeaseSeen,
    NodeSeen,
    Result,
    ServiceSeen,
    Snapshot,
)
from mcv.rules.ha.status import (
    NodeState,
    NodeStatus,
    ServiceState,
    ServiceStatus,
    Status,
    decode,
    encode,
)
from tests.rules.ha.play import Play

NODES = ["n1", "n2", "n3"]
SERVICES = ["a", "b", "c"]
UIDS = st.sampled_from(["", "1.1", "1.2", "1.3"])
TIMES = st.floats(0, 10_000)
nodes_and_strangers = st.sampled_from([*NODES, "n9"])

leases = st.builds(
    LeaseSeen,
    revision=st.integers(0, 4),
    boot=st.sampled_from(["b1", "b2"]),
    age=st.floats(0, 60),
    proves=st.booleans(),
)
fences = st.builds(FenceSeen, uid=UIDS, outcome=st.sampled_from(["running", "off", "on", "failed"]))
claims = st.builds(ClaimSeen, operation=st.just("op"), node=nodes_and_strangers, mine=st.booleans())
entries = st.builds(
    HaEntry,
    wanted=st.sampled_from(["started", "started", "stopped", "ignored"]),
    domain=st.sampled_from(["", "d", "gone"]),
    recovery=st.sampled_from(["restart", "relocate", "disable"]),
    max_restarts=st.integers(0, 2),
    max_relocates=st.integers(0, 2),
    failback=st.booleans(),
    failed=st.sampled_from(["", "", "", "it ended"]),
    asked=st.integers(0, 2),
)
service_actions = st.one_of(
    st.builds(Start, uid=UIDS, service=st.just("a"), node=nodes_and_strangers),
    st.builds(Stop, uid=UIDS, service=st.just("a"), node=nodes_and_strangers),
    *(
        st.builds(
            kind,
            uid=UIDS,
            service=st.just("a"),
            node=nodes_and_strangers,
            target=nodes_and_strangers,
        )
        for kind in (Migrate, Relocate)
    ),
)


@st.composite
def looks(draw: st.DrawFn) -> Snapshot:
    nodes = {
        name: draw(
            st.builds(
                NodeSeen,
                name=st.just(name),
                status=st.sampled_from(["online", "online", "offline"]),
                maintenance=st.booleans(),
                draining=st.booleans(),
                leaving=st.sampled_from(["", "", "migrate", "failover", "freeze"]),
                lease=st.none() | leases,
                answers=st.sampled_from([None, (), ("mcvd",)]),
                silence=st.floats(0, 60),
                told=st.booleans(),
                is_empty=st.sampled_from([None, True, False]),
                asks=st.booleans(),
                memory=st.integers(0, 4),
                can_fence=st.booleans(),
                fence=st.none() | fences,
                evidence=st.sampled_from([None, "off", "lease", "word"]),
                boot=st.sampled_from(["", "b1", "b2"]),
                renewed=st.booleans(),
                claim=st.none() | claims,
            )
        )
        for name in NODES
    }
    services = {
        name: draw(
            st.builds(
                ServiceSeen,
                name=st.just(name),
                node=nodes_and_strangers,
                kind=st.sampled_from(["vm", "service"]),
                entry=entries,
                home=st.sampled_from(["", *NODES]),
                runs=st.sampled_from([(), ("n1",), ("n2",), ("n1", "n2")]),
                places=st.none()
                | st.dictionaries(nodes_and_strangers, st.sampled_from(["", "it is stale"])),
                memory=st.integers(0, 4),
                live=st.booleans(),
                claim=st.none() | claims,
                result=st.none()
                | st.builds(
                    Result,
                    uid=UIDS,
                    outcome=st.sampled_from(["done", "failed", "stop-failed", "unknown"]),
                ),
            )
        )
        for name in SERVICES
    }
    domain = st.builds(
        FailoverDomain,
        nodes=st.dictionaries(nodes_and_strangers, st.integers(1, 3)),
        ordered=st.booleans(),
        restricted=st.booleans(),
        failback=st.booleans(),
    )
    ha = st.builds(
        Ha,
        armed=st.sampled_from([True, True, True, False]),
        on_stop_failure=st.sampled_from(["attention", "fence"]),
        on_fence_failure=st.sampled_from(["wait", "continue"]),
        fence_trust=st.sampled_from(["at-once", "after-lease"]),
    )
    kinds = st.sampled_from(["together", "apart"])
    ties = st.builds(Tie, kind=kinds, names=st.sampled_from([("a", "b"), ("b", "c"), ("a", "x")]))
    return Snapshot(
        now=draw(TIMES),
        term=draw(st.integers(1, 2)),
        manager=draw(nodes_and_strangers),
        ha=draw(ha),
        watched=draw(st.floats(0, 300)),
        writes=draw(st.sampled_from([True, True, True, False])),
        leases=draw(st.booleans()),
        nodes=nodes,
        services=services,
        domains={"d": draw(domain)},
        ties=tuple(draw(st.lists(ties, max_size=3))),
    )


node_statuses = st.builds(
    NodeStatus,
    state=st.sampled_from(get_args(NodeState)),
    since=TIMES,
    uid=UIDS,
    lease=st.integers(0, 4),
    boot=st.sampled_from(["b1", "b2"]),
    tries=st.integers(0, 12),
    again=TIMES,
    doubt=UIDS,
    left=st.sampled_from(["", "freeze"]),
    last_boot=st.sampled_from(["", "b1", "b2"]),
)
service_statuses = st.builds(
    ServiceStatus,
    state=st.sampled_from(get_args(ServiceState)),
    node=nodes_and_strangers,
    since=TIMES,
    asked=st.integers(0, 2),
    pending=st.none() | service_actions,
    restarts=st.lists(TIMES, max_size=2).map(tuple),
    relocates=st.lists(TIMES, max_size=2).map(tuple),
    tried=st.dictionaries(nodes_and_strangers, TIMES, max_size=3),
    drained_from=st.sampled_from(["", "n1", "n9"]),
    again=TIMES,
    failed=st.sampled_from(["", "", "it ended"]),
)
statuses = st.builds(
    Status,
    term=st.integers(0, 2),
    now=TIMES,
    clock=TIMES,
    count=st.just(3),
    nodes=st.dictionaries(nodes_and_strangers, node_statuses, max_size=3),
    services=st.dictionaries(st.sampled_from([*SERVICES, "gone"]), service_statuses, max_size=3),
)


@settings(max_examples=150, deadline=None)
@given(looks(), statuses)
def test_every_decision_keeps_the_rules(look: Snapshot, status: Status) -> None:
    decision = decide(look, status)

    assert decide(look, status) == decision, "the same look gives the same decision"
    assert decode(encode(decision.status)) == decision.status
    assert set(decision.reasons.services) == set(look.services)
    assert set(decision.reasons.nodes) == set(look.nodes)
    assert all(reason.text for reason in decision.reasons.services.values())
    touched: list[str] = []
    for action in decision.actions:
        if isinstance(action, TakeOver):
            touched += action.takers
            dead = look.nodes[action.node]
            assert dead.status == "offline"
            is_known = dead.renewed or dead.evidence or dead.maintenance
            assert is_known or look.watched >= look.ha.start_grace
            for name, taker in action.takers.items():
                assert look.services[name].node == action.node
                assert look.services[name].claim is None
                assert decision.status.nodes[taker].state == "online"
                assert look.nodes[taker].status == "online"
        elif isinstance(action, Start | Stop | Migrate | Relocate):
            touched.append(action.service)
            seen = look.services[action.service]
            assert seen.claim is None or seen.claim.mine, "no operator is raced"
            assert seen.entry.wanted != "ignored" and not seen.entry.failed
            if isinstance(action, Start):
                assert decision.status.nodes[action.node].state == "online"
                assert look.nodes[action.node].status == "online"
        elif isinstance(action, Declare):
            lease = look.nodes[action.node].lease
            assert action.lease == (lease.revision if lease else 0)
            assert look.nodes[action.node].status == "online"
            if action.evidence == "lease" and lease is not None:
                assert lease.proves and lease.age >= lease.wait
            elif action.evidence == "lease":
                was_seen = look.nodes[action.node].renewed
                assert was_seen or look.watched >= look.ha.start_grace
                assert look.nodes[action.node].is_empty is not False
            if action.evidence == "off":
                fence = look.nodes[action.node].fence
                assert fence is not None and fence.outcome == "off"
        elif isinstance(action, Resume):
            touched.append(action.service)
        elif not isinstance(action, GiveUp | Tell):
            assert action.node in look.nodes
    assert len(touched) == len(set(touched)), "one action of a service at most"
    if not (look.ha.armed and look.writes):
        assert decision.actions == ()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 1 << 32))
def test_whatever_happens_nothing_runs_twice(seed: int) -> None:
    play = Play(seed)

    play.run(250)

    assert play.worst == []


def test_when_all_is_well_again_everything_wanted_runs_where_it_belongs() -> None:
    """Every play ends so, in which no operator is needed."""
    for seed in range(12):
        play = Play(seed)
        play.device_fails = 0.0
        play.run(150)
        for host in play.hosts.values():
            host.is_up, host.is_cut = True, False
            host.seen = replace(host.seen, draining=False, maintenance=False)
            if host.seen.evidence is None:
                host.seen = replace(host.seen, status="online")
        play.rest(60)

        left = {
            name: play.status.services[name]
            for name, seen in play.services.items()
            if seen.entry.wanted == "started"
            and not seen.entry.failed
            and seen.node not in play.runs[name]
            and not play.status.services[name].tried  # it would not run there
        }
        assert left == {}, seed
