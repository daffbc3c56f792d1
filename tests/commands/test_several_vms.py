"""Several VMs in one command: all are tried, a line each, the worst code counts."""

from typing import Any

import pytest

from mcv.commands.output import worst
from mcv.errors import Failed, McvError, NotFound, Refused, RepairNeeded
from mcv.rpc.client import Progress
from tests.commands.conftest import FakeDaemon, Heard, Speak, a_vm

OUTCOMES: dict[str, Any] = {
    "good": {"node": "n1", "state": "running", "kept": []},
    "refused": Refused("No.", "Try.", [("This.", "So.")]),
    "failed": Failed("Broken."),
    "half": RepairNeeded("Half-way."),
}


@pytest.mark.parametrize(
    ("codes", "expected"),
    [((), 0), ((0, 3), 3), ((3, 5), 5), ((5, 1), 1), ((1, 4), 4), ((0, 0), 0), ((3, 77), 77)],
)
def test_the_worst_code_is_what_is_half_done_before_all_else(
    codes: tuple[int, ...], expected: int
) -> None:
    assert worst(codes) == expected


@pytest.mark.parametrize(
    "command", ["start", "stop", "shutdown", "shutdown --wait", "reboot --wait", "reset"]
)
@pytest.mark.parametrize(
    ("names", "code"),
    [("good", 0), ("refused good", 3), ("refused failed good", 1), ("failed half refused", 4)],
)
def test_all_are_tried_and_the_worst_code_counts(
    mcv: Speak, daemon: FakeDaemon, command: str, names: str, code: int
) -> None:
    operation = f"vm.{command.split()[0]}"
    daemon.job(operation, lambda params: OUTCOMES[params["name"]])

    heard = mcv(f"{command} {names}")

    assert heard.code == code
    assert [params["name"] for params in daemon.asked(operation)] == names.split()


def test_each_has_a_line_where_it_belongs(mcv: Speak, daemon: FakeDaemon) -> None:
    daemon.job("vm.start", lambda params: OUTCOMES[params["name"]])

    heard = mcv("start refused good")

    assert heard.out == "good runs on n1.\n"
    assert heard.err == "Error: refused: No. This. So. Try.\n"


def test_one_alone_complains_like_every_other_command(mcv: Speak, daemon: FakeDaemon) -> None:
    daemon.job("vm.start", OUTCOMES["refused"])

    assert mcv("start web1").err == "Error: No.\n  This. So.\nTry.\n"


def test_json_has_a_row_for_each(mcv: Speak, daemon: FakeDaemon) -> None:
    daemon.job("vm.start", lambda params: OUTCOMES[params["name"]])

    heard = mcv("start good refused --json")

    assert (heard.code, heard.err) == (3, "")
    good, bad = heard.json
    assert good == {"vm": "good", "ok": True, "message": "good runs on n1."}
    assert (bad["vm"], bad["ok"], bad["message"]) == ("refused", False, "No. This. So. Try.")
    assert (bad["error"], bad["hint"]) == ("refused", "Try.")


def test_a_name_that_is_given_twice_is_tried_once(mcv: Speak, daemon: FakeDaemon) -> None:
    daemon.job("vm.start", OUTCOMES["good"])

    mcv("start web1 web1")

    assert len(daemon.asked("vm.start")) == 1


def test_a_dry_run_of_a_deletion_has_a_plan_for_each(mcv: Speak, daemon: FakeDaemon) -> None:
    plan = {"dry_run": True, "plan": ["n1: vm.undefine name=web1"]}
    daemon.job("vm.delete", plan)

    assert mcv("delete web1 --dry-run").out == "n1: vm.undefine name=web1\n"
    row = mcv("delete web1 --dry-run --json").json[0]
    assert (row["vm"], row["ok"], row["plan"]) == ("web1", True, plan["plan"])


def test_a_dry_run_of_a_start_has_a_plan_for_each(mcv: Speak, daemon: FakeDaemon) -> None:
    daemon.job("vm.start", lambda asked: {"dry_run": True, "plan": [f"n1: start {asked['name']}"]})

    assert mcv("start web1 web2 --dry-run").out == "n1: start web1\nn1: start web2\n"


def row(vm: str, result: str = "clean", out_of_sync: int = 0) -> dict[str, Any]:
    return {"vm": vm, "disk": 1, "result": result, "out_of_sync": out_of_sync, "seconds": 1.5}


def verified(params: dict[str, Any]) -> list[dict[str, Any]] | McvError:
    name = params["name"]
    if name == "gone":
        return NotFound("There is no VM gone.", "See: mcv list")
    if name == "bad":
        return [row("bad", "out-of-sync", 4096)]
    return [row(name, "interrupted" if name == "cut" else "clean")]


@pytest.fixture
def verifying(daemon: FakeDaemon) -> FakeDaemon:
    daemon.job("drbd.verify", verified)
    daemon.answers["cluster.info"] = {"node": "n1"}
    daemon.answers["vm.list"] = [
        a_vm("web1"),
        a_vm("web2", node="n2"),
        a_vm("web3", storage="none"),
    ]
    return daemon


def test_a_clean_verification_exits_with_0(mcv: Speak, verifying: FakeDaemon) -> None:
    heard = mcv("verify web1 web2")

    assert heard.code == 0
    assert sorted(heard.out.splitlines()) == [
        "web1 disk 1 is clean (1.5 s).",
        "web2 disk 1 is clean (1.5 s).",
    ]


def test_a_quiet_one_says_what_is_not_clean_alone(mcv: Speak, verifying: FakeDaemon) -> None:
    verifying.progress = [Progress("verify web1", 1, 8, "B")]

    assert mcv("verify web1 --quiet") == Heard(0, "", "")
    heard = mcv("verify web1 bad --quiet")
    assert heard.out == "" and heard.err == "Error: bad disk 1: 4KiB out of sync.\nmcv resync bad\n"


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        ("bad", "bad disk 1: 4KiB out of sync.", "mcv resync bad"),
        ("cut", "cut disk 1: the verification was interrupted.", "mcv verify cut"),
    ],
)
def test_what_is_not_clean_exits_with_5_and_says_what_helps(
    mcv: Speak, verifying: FakeDaemon, name: str, message: str, hint: str
) -> None:
    heard = mcv(f"verify {name}")

    assert heard.code == 5
    assert heard.err == f"Error: {message}\n{hint}\n"


def test_a_verification_without_a_result_is_not_clean(mcv: Speak, daemon: FakeDaemon) -> None:
    daemon.job("drbd.verify", [])

    assert mcv("verify web1").code == 5


def test_the_rows_of_all_are_one_document(mcv: Speak, verifying: FakeDaemon) -> None:
    heard = mcv("verify web1 bad gone --json")

    assert heard.code == 5
    assert heard.json == [row("web1"), row("bad", "out-of-sync", 4096)]
    assert heard.error["error"] == "out-of-sync"
    said = {problem["message"]: problem["hint"] for problem in heard.error["problems"]}
    assert said == {
        "gone: There is no VM gone.": "See: mcv list",
        "bad disk 1: 4KiB out of sync.": "mcv resync bad",
    }


@pytest.mark.parametrize(
    ("words", "names"), [("--all", {"web1", "web2"}), ("--all --owned", {"web1"})]
)
def test_all_are_those_on_drbd(
    mcv: Speak, verifying: FakeDaemon, words: str, names: set[str]
) -> None:
    assert mcv(f"verify {words}").code == 0
    assert {params["name"] for params in verifying.asked("drbd.verify")} == names


def test_all_are_those_with_a_disk_on_drbd_among_others(mcv: Speak, verifying: FakeDaemon) -> None:
    verifying.answers["vm.list"] = [
        a_vm("web1"),
        a_vm("web2", storage="mixed"),
        a_vm("web3", storage="mixed"),
        a_vm("web4", storage="file"),
    ]
    verifying.answers["drbd.list"] = [{"vm": "web1"}, {"vm": "web2"}]

    assert mcv("verify --all").code == 0
    assert {params["name"] for params in verifying.asked("drbd.verify")} == {"web1", "web2"}


def test_nothing_to_verify_is_no_error(mcv: Speak, verifying: FakeDaemon) -> None:
    verifying.answers["vm.list"] = []

    assert (mcv("verify --all").code, mcv("verify --all").out) == (
        0,
        "There is nothing to verify.\n",
    )
    assert mcv("verify --all --json").json == []


def test_a_failed_verification_of_one_does_not_hide_a_worse_error(
    mcv: Speak, verifying: FakeDaemon
) -> None:
    verifying.job(
        "drbd.verify",
        lambda params: (
            RepairNeeded("Half-way.")
            if params["name"] == "half"
            else [row("bad", "out-of-sync", 1)]
        ),
    )

    heard = mcv("verify bad half")

    assert heard.code == 4
