"""DRBD's states: which answers each gives, and that a word of a newer DRBD never counts as good."""

import msgspec
import pytest

from mcv.drivers.drbd_states import ConnectionState, DiskState, ReplicationState, Role, State
from mcv.drivers.drbd_status import Status, parse_statuses
from tests.drivers import drbd_output

NEW = "QuantumSync"  # a word that no DRBD of today says


def questions(state: State) -> dict[str, bool]:
    """Every question of a state with its answer."""
    names = {
        name
        for kind in (type(state), State)
        for name, value in vars(kind).items()
        if isinstance(value, property) and name.startswith(("is_", "has_", "needs_", "keeps_"))
    }
    return {name: getattr(state, name) for name in names}


@pytest.mark.parametrize("kind", [Role, DiskState, ConnectionState, ReplicationState])
def test_a_word_of_a_newer_drbd_is_kept_and_answers_no_to_everything(kind: type[State]) -> None:
    state = kind(NEW)

    assert state == NEW and f"{state}" == NEW
    answers = questions(state)
    assert len(answers) > 1 and not any(answers.values())


def test_a_status_with_new_words_is_read_shown_and_sent() -> None:
    text = drbd_output.SECONDARY.replace("UpToDate", NEW).replace("Established", NEW)

    (status,) = parse_statuses(text).values()

    assert (status.disk, status.replication) == (NEW, NEW)
    assert not status.connected and not status.up_to_date and not status.both_up_to_date
    assert msgspec.json.decode(msgspec.json.encode(status), type=Status) == status
    assert msgspec.to_builtins(status)["disk"] == NEW


@pytest.mark.parametrize(
    ("question", "states"),
    [
        ("is_promotable", "Consistent UpToDate"),
        ("has_consistent_data", "Outdated Consistent UpToDate"),
        ("needs_resync", "Inconsistent Outdated"),
        ("is_detached", "Diskless Detaching Failed"),
        ("is_unusable", "Diskless Failed Inconsistent"),
        ("is_transient", "Attaching Detaching Negotiating"),
    ],
)
def test_the_questions_to_a_disk_state(question: str, states: str) -> None:
    assert {state for state in DiskState if getattr(state, question)} == set(states.split())


@pytest.mark.parametrize(
    ("question", "states"),
    [
        ("is_syncing", "SyncSource SyncTarget PausedSyncS PausedSyncT"),
        ("is_verifying", "VerifyS VerifyT"),
        ("is_working", "SyncSource SyncTarget PausedSyncS PausedSyncT VerifyS VerifyT"),
        ("keeps_in_step", "Established VerifyS VerifyT"),
        ("is_transient", "StartingSyncS StartingSyncT WFBitMapS WFBitMapT WFSyncUUID"),
    ],
)
def test_the_questions_to_a_replication_state(question: str, states: str) -> None:
    assert {state for state in ReplicationState if getattr(state, question)} == set(states.split())


def test_a_state_of_the_replication_is_one_of_the_connection() -> None:
    said_alone = {ReplicationState.OFF, ReplicationState.ESTABLISHED}

    assert all(ConnectionState(state).is_known for state in set(ReplicationState) - said_alone)
