"""Questions: no is what silence means, and nothing has been changed by it."""

from typing import Any

import pytest

from mcv.errors import NeedsPassword, PeerUnreachable, Refused
from tests.commands.conftest import FakeDaemon, Speak, a_vm

KEY = {"fingerprint": "SHA256:abc", "type": "ssh-ed25519", "known": False}
ADD = "cluster add-node --node n2 --ip-address 192.0.2.2"
ADDED = {"node": "n2", "ip_address": "192.0.2.2", "drbd_address": "192.0.2.2"}
WROTE = "Disk 1 of web1 (8MiB): since they parted n2 wrote 4KiB, n1 at most 4MiB."
CHANGING = {
    "cluster.add_node",
    "cluster.remove_node",
    "node.offline",
    "vm.delete",
    "vm.register",
    "drbd.resync",
    "drbd.resolve",
    "locks.clear",
    "node.evacuate",
    "cluster.reboot",
    "node.reboot",
    "node.power_off",
}
ASKED = [
    ADD,
    "cluster remove-node --node n2",
    "node offline n2",
    "node offline n2 --confirm-dead",
    "delete web1",
    "resync web1",
    "drbd resolve web1 --keep n2",
    "register web1 --node n2",
    "locks clear web1",
    "evacuate n2",
    "cluster reboot --rolling",
    "node reboot n2",
    "node power-off n2",
]


@pytest.fixture
def daemon(daemon: FakeDaemon) -> FakeDaemon:
    daemon.answers["cluster.host_key"] = KEY
    daemon.answers["vm.list"] = [a_vm()]
    daemon.answers["cluster.info"] = {"nodes": [{"name": "n2", "status": "offline"}]}
    daemon.answers["locks.list"] = {"claims": [], "locks": [], "held": []}
    daemon.answers["drbd.prospects"] = {"lose": "n1", "lines": [WROTE]}
    daemon.job("cluster.add_node", ADDED)
    daemon.job("vm.delete", {"name": "web1", "kept": []})
    return daemon


@pytest.mark.parametrize("words", ASKED)
def test_without_a_terminal_the_answer_is_no(mcv: Speak, daemon: FakeDaemon, words: str) -> None:
    heard = mcv(words)

    assert heard.code == 3
    assert "--yes" in heard.err
    assert changes(daemon) == []


@pytest.mark.parametrize("words", ASKED)
def test_yes_is_an_answer_that_needs_no_terminal(
    mcv: Speak, daemon: FakeDaemon, words: str
) -> None:
    heard = mcv(words, "--yes")

    assert heard.code == 0
    assert CHANGING & {operation for operation, _ in daemon.calls}


@pytest.mark.usefixtures("terminal")
@pytest.mark.parametrize("typed", ["n\n", "\n", ""])
@pytest.mark.parametrize("words", ASKED)
def test_no_and_no_answer_change_nothing(
    mcv: Speak, daemon: FakeDaemon, words: str, typed: str
) -> None:
    heard = mcv(words, typed=typed)

    assert heard.code == 3
    assert "nothing was changed" in heard.err
    assert changes(daemon) == []


def changes(daemon: FakeDaemon) -> list[str]:
    """The operations that were asked to do something, and not only for their plan."""
    return [
        operation
        for operation, params in daemon.calls
        if operation in CHANGING and not params.get("dry_run")
    ]


@pytest.mark.usefixtures("terminal")
@pytest.mark.parametrize("words", ASKED)
def test_nobody_is_asked_about_what_is_refused_anyway(
    mcv: Speak, daemon: FakeDaemon, words: str
) -> None:
    no = Refused("It cannot be.", "mcv info")
    for operation in CHANGING | {"cluster.host_key"}:
        daemon.answers[operation] = no

    heard = mcv(words, typed="y\n")

    assert heard.code == 3 and "It cannot be." in heard.err
    assert "[y/N]" not in heard.err and "The answer" not in heard.err
    assert changes(daemon) == []


@pytest.mark.parametrize(("typed", "deleted"), [("", []), ("y\n", ["web2"])])
def test_a_vm_whose_plan_was_refused_is_not_deleted_a_moment_later(
    mcv: Speak,
    daemon: FakeDaemon,
    monkeypatch: pytest.MonkeyPatch,
    typed: str,
    deleted: list[str],
) -> None:
    """The plan of web1 found a node silent; the deletion would have found it there again."""

    def answer(params: dict[str, Any]) -> Any:
        if params["dry_run"] and params["name"] == "web1":
            return PeerUnreachable("n2 does not answer.")
        return {"dry_run": True, "plan": []} if params["dry_run"] else {"kept": []}

    daemon.job("vm.delete", answer)
    monkeypatch.setattr("mcv.commands.session.has_terminal", lambda: bool(typed))

    heard = mcv(f"delete web1 {' '.join(deleted)}", typed=typed)

    assert heard.code == 3 and "n2 does not answer." in heard.err
    done = [call["name"] for call in daemon.asked("vm.delete") if not call["dry_run"]]
    assert done == deleted


@pytest.mark.parametrize("flags", ["", "--yes", "--yes --json", "--dry-run"])
def test_what_each_side_wrote_is_told_whatever_the_answer_is(
    mcv: Speak, daemon: FakeDaemon, flags: str
) -> None:
    heard = mcv(f"drbd resolve web1 --keep n2 {flags}")

    assert WROTE in heard.err and WROTE not in heard.out
    assert daemon.calls[0][0] == "drbd.prospects"
    assert bool(daemon.asked("drbd.resolve")[0]["dry_run"]) == (flags in ("", "--dry-run"))
    assert changes(daemon) == (["drbd.resolve"] if "--yes" in flags else [])


@pytest.mark.usefixtures("terminal")
def test_what_would_be_lost_is_shown_before_the_question(mcv: Speak, daemon: FakeDaemon) -> None:
    plan = {"dry_run": True, "plan": ["n2: volume.remove name=web1"]}
    daemon.job("vm.delete", lambda params: plan if params["dry_run"] else {"kept": []})

    heard = mcv("delete web1", typed="y\n")

    assert (heard.code, heard.out) == (0, "web1 is deleted.\n")
    assert heard.err.index("n2: volume.remove") < heard.err.index("Delete web1")


def test_a_dry_run_asks_nothing(mcv: Speak, daemon: FakeDaemon) -> None:
    daemon.job("cluster.remove_node", {"dry_run": True, "plan": ["document: node.remove name=n2"]})

    heard = mcv("cluster remove-node --node n2 --dry-run")

    assert (heard.code, heard.out) == (0, "document: node.remove name=n2\n")


@pytest.mark.usefixtures("terminal")
@pytest.mark.parametrize(
    ("storage", "typed", "code"), [("shared", "y\nn\n", 3), ("file", "y\n", 0)]
)
def test_a_shared_disk_is_asked_about_in_a_sentence_of_its_own(
    mcv: Speak, daemon: FakeDaemon, storage: str, typed: str, code: int
) -> None:
    daemon.answers["disk.list"] = [{"id": 1, "storage": storage}]
    daemon.job("vm.register", {"name": "web1", "node": "n2", "taken_over_from": "n1"})

    heard = mcv("register web1 --node n2", typed=typed)

    own = "n1 can still write to disk 1 of web1, which is shared. Is web1 certainly off there?"
    assert (own in heard.err) == (storage == "shared")
    assert heard.code == code and (changes(daemon) == []) == (code == 3)


def test_registering_where_it_belongs_is_not_asked_about(mcv: Speak, daemon: FakeDaemon) -> None:
    daemon.job("vm.register", {"name": "web1", "node": "n1", "taken_over_from": None})

    assert mcv("register web1").code == 0
    assert mcv("register web1 --node n1").code == 0


def test_a_known_host_key_is_not_asked_about(mcv: Speak, daemon: FakeDaemon) -> None:
    daemon.answers["cluster.host_key"] = {**KEY, "known": True}

    assert mcv(ADD).code == 0
    assert daemon.asked("cluster.add_node")[0]["host_key"] is None


def test_a_host_key_that_is_given_is_not_asked_about(mcv: Speak, daemon: FakeDaemon) -> None:
    assert mcv(ADD, "--host-key", "SHA256:xyz").code == 0
    assert daemon.asked("cluster.add_node")[0]["host_key"] == "SHA256:xyz"
    assert daemon.asked("cluster.host_key") == []


@pytest.mark.usefixtures("terminal")
def test_an_unknown_host_key_that_is_agreed_to_is_the_only_one_taken(
    mcv: Speak, daemon: FakeDaemon
) -> None:
    heard = mcv(ADD, typed="y\n")

    assert heard.code == 0
    assert "SHA256:abc" in heard.err
    assert daemon.asked("cluster.add_node")[0]["host_key"] == "SHA256:abc"


def test_a_host_key_that_has_changed_is_refused_even_with_yes(
    mcv: Speak, daemon: FakeDaemon
) -> None:
    daemon.answers["cluster.host_key"] = Refused("The host key of 192.0.2.2 has changed.")

    assert mcv(ADD, "--yes").code == 3
    assert daemon.asked("cluster.add_node") == []


@pytest.mark.usefixtures("terminal")
def test_a_password_is_asked_for_when_the_key_does_not_open(mcv: Speak, daemon: FakeDaemon) -> None:
    needs = NeedsPassword("192.0.2.2 wants a password.")
    daemon.job("cluster.add_node", lambda params: ADDED if params["password"] else needs)

    heard = mcv(ADD, typed="y\nsecret\n")

    assert heard.code == 0
    assert [params["password"] for params in daemon.asked("cluster.add_node")] == [None, "secret"]
    assert "secret" not in heard.out + heard.err


def test_without_a_terminal_a_password_needs_a_file(mcv: Speak, daemon: FakeDaemon) -> None:
    daemon.job("cluster.add_node", NeedsPassword("192.0.2.2 wants a password."))

    heard = mcv(ADD, "--yes", "--json")

    assert heard.code == 3
    assert heard.error["error"] == "needs-password"
    assert "--password-file" in heard.error["hint"]
