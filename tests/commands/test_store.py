"""mcv cluster store, as it is typed: the witness is agreed to, moves are asked for."""

import pytest

from mcv.errors import NeedsPassword, Refused
from tests.commands.conftest import FakeDaemon, Speak

KEY = {"fingerprint": "SHA256:abc", "type": "ssh-ed25519", "known": False}
KNOWN = {**KEY, "known": True}
WITH = "cluster store etcd --witness w1 --ip-address 192.0.2.9"
MOVED = {"store": "etcd", "voters": ["n1", "n2", "w1"], "left": ""}
WITNESS = {"name": "w1", "ip_address": "192.0.2.9", "state": "voter"}


@pytest.fixture
def daemon(daemon: FakeDaemon) -> FakeDaemon:
    daemon.answers["cluster.witness_key"] = KEY
    daemon.answers["cluster.info"] = {"witness": WITNESS}
    daemon.job("cluster.store_etcd", MOVED)
    daemon.job("cluster.store_unanimous", {"store": "unanimous", "voters": [], "left": ""})
    daemon.job("cluster.witness_remove", {"store": "etcd", "voters": ["n1"], "left": ""})
    daemon.job("cluster.store_refresh", {"witness": "w1", "changed": True})
    return daemon


def test_a_witness_whose_key_is_agreed_to(mcv: Speak, daemon: FakeDaemon) -> None:
    heard = mcv(WITH, "--yes")

    assert heard.code == 0, heard.err
    assert "SHA256:abc" in heard.err
    assert "w1 is the witness" in heard.out and "masked" in heard.out
    assert daemon.asked("cluster.store_etcd") == [
        {
            "witness": "w1",
            "ip_address": "192.0.2.9",
            "host_key": "SHA256:abc",
            "dry_run": False,
            "password": None,
        }
    ]


def test_a_key_that_nobody_can_compare_is_refused(mcv: Speak, daemon: FakeDaemon) -> None:
    heard = mcv(WITH)

    assert heard.code == 3
    assert "--host-key SHA256:abc" in heard.err
    assert daemon.asked("cluster.store_etcd") == []


@pytest.mark.usefixtures("terminal")
def test_a_password_is_asked_for_once(mcv: Speak, daemon: FakeDaemon) -> None:
    daemon.answers["cluster.witness_key"] = KNOWN
    begin = daemon.answers["cluster.store_etcd"]

    def answer(params: dict[str, object]) -> object:
        return begin(params) if params["password"] else NeedsPassword("root's own key does not.")

    daemon.answers["cluster.store_etcd"] = answer

    heard = mcv(WITH, typed="hunter2\ny\n")

    assert heard.code == 0, heard.err
    assert [each["password"] for each in daemon.asked("cluster.store_etcd")] == [
        None,
        "hunter2",
        "hunter2",
    ]
    assert "hunter2" not in heard.out + heard.err


def test_refresh_goes_to_the_witness_of_the_document(mcv: Speak, daemon: FakeDaemon) -> None:
    daemon.answers["cluster.witness_key"] = KNOWN

    heard = mcv("cluster store refresh")

    assert heard.code == 0, heard.err
    assert heard.out == "w1 has the certificates of all nodes.\n"
    assert daemon.asked("cluster.store_refresh") == [
        {"host_key": None, "dry_run": False, "password": None}
    ]


def test_the_key_of_a_witness_that_is_left_is_agreed_to(mcv: Speak, daemon: FakeDaemon) -> None:
    for words in ("cluster store unanimous", "cluster store etcd --no-witness"):
        assert mcv(words).code == 3  # nobody can compare it
        heard = mcv(words, "--yes")
        assert heard.code == 0, heard.err
        assert "SHA256:abc" in heard.err
    for operation in ("cluster.store_unanimous", "cluster.witness_remove"):
        assert daemon.asked(operation) == [{"host_key": "SHA256:abc", "dry_run": False}]


def test_a_witness_that_is_silent_holds_no_move_up(mcv: Speak, daemon: FakeDaemon) -> None:
    daemon.answers["cluster.witness_key"] = Refused("192.0.2.9 does not answer to SSH.")

    assert mcv("cluster store unanimous --yes").code == 0


def test_what_is_left_to_do_is_said_after_the_move_back(mcv: Speak, daemon: FakeDaemon) -> None:
    left = "w1 keeps its etcd, which nobody asks any more."
    daemon.job("cluster.store_unanimous", {"store": "unanimous", "voters": [], "left": left})

    heard = mcv("cluster store unanimous --yes --host-key SHA256:abc")

    assert heard.out == f"The members agree unanimously. {left}\n"
    assert daemon.asked("cluster.store_unanimous")[0]["host_key"] == "SHA256:abc"


UNFIT = [
    "cluster store raft",
    "cluster store etcd --witness w1",
    "cluster store etcd --ip-address 192.0.2.9",
    "cluster store --witness w1 --ip-address 192.0.2.9",
    "cluster store unanimous --witness w1 --ip-address 192.0.2.9",
    "cluster store etcd --host-key SHA256:abc",
    "cluster store --password-file /dev/null",
    "cluster store unanimous n2",
    "cluster store unanimous --no-witness",
    "cluster store etcd --no-witness --witness w1 --ip-address 192.0.2.9",
    "cluster store unanimous --confirm-dead",
    "cluster store etcd --confirm-dead n2",
    "cluster store unanimous --confirm-dead n2 --host-key SHA256:abc",
]


@pytest.mark.parametrize("words", UNFIT)
def test_words_that_do_not_go_together(mcv: Speak, daemon: FakeDaemon, words: str) -> None:
    assert mcv(words, "--yes").code == 2
    assert daemon.calls == []
