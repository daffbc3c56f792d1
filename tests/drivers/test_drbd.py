"""Each verb's exact command, what makes it unnecessary, and how it fails."""

import contextlib
from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest

from mcv.drivers.drbd import DEMOTION_TRIES, Drbd
from mcv.errors import Busy, CommandFailed
from mcv.system.process import lines
from tests.drivers import drbd_output
from tests.recorder import Answer, Recorder

LOOK = "drbdsetup events2 --now --statistics web1"
FAILED = CommandFailed("`drbdadm` exited with 17: State change failed: (-2) Need access.")


class Adm(Recorder):
    """A recorder of commands; of drbdadm's, that each reads the file of its resource alone."""

    def __call__(self, *command: str, stdin: str = "", timeout: float = 60) -> str:
        tool, *words = command
        if words[:1] == ["--config-file"]:
            assert tool == "drbdadm" and words[1].endswith(f"/run/mcv/drbd/{words[-1]}.conf")
            includes = Path(words[1]).read_text().splitlines()[1:]
            where = words[1].removesuffix(f"/run/mcv/drbd/{words[-1]}.conf")
            assert includes == [
                "global { usage-count no; udev-always-use-vnr; }",
                f'include "{where}/etc/drbd.d/{words[-1]}.res";',
            ]
            return super().__call__(tool, *words[2:], stdin=stdin, timeout=timeout)
        assert tool != "drbdadm" or words in (["--version"], ["sh-resources"])
        return super().__call__(*command, stdin=stdin, timeout=timeout)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root directory in whose /sys the module of DRBD 8.4 is loaded."""
    (tmp_path / "sys/module/drbd").mkdir(parents=True)
    (tmp_path / "sys/module/drbd/version").write_text("8.4.11\n")
    return tmp_path


def drbd(root: Path, *looks: str, **answers: Answer) -> tuple[Drbd, Recorder]:
    """A driver whose looks at the resource see one text after the other."""
    told: dict[str, Answer] = {"drbdsetup events2": list(looks) or drbd_output.UNKNOWN}
    told.update({f"drbdadm {verb.replace('_', '-')}": answer for verb, answer in answers.items()})
    run = Adm(told)
    return Drbd(run, root=root, sleep=lambda seconds: None), run


def done(run: Recorder) -> list[str]:
    return [command for command in run.commands if not command.startswith("drbdsetup events2")]


@pytest.mark.parametrize(
    ("verb", "before", "command"),
    [
        ("metadata.create", drbd_output.UNKNOWN, "drbdadm --force create-md web1"),
        ("up", drbd_output.UNKNOWN, "drbdadm up web1"),
        ("up", drbd_output.ALONE, "drbdadm adjust web1"),
        ("down", drbd_output.SECONDARY, "drbdsetup down web1"),
        ("adjust", drbd_output.SECONDARY, "drbdadm adjust web1"),
        ("promote", drbd_output.SECONDARY, "drbdadm primary web1"),
        ("promote_by_force", drbd_output.OUTDATED, "drbdadm primary --force web1"),
        ("demote", drbd_output.PRIMARY, "drbdadm secondary web1"),
        (
            "allow_two_primaries",
            drbd_output.PRIMARY,
            "drbdadm net-options --allow-two-primaries=yes web1",
        ),
        ("attach", drbd_output.DETACHED, "drbdadm attach web1"),
        ("connect", drbd_output.ALONE, "drbdadm connect web1"),
        ("connect_discarding", drbd_output.ALONE, "drbdadm connect --discard-my-data web1"),
        ("disconnect", drbd_output.SECONDARY, "drbdadm disconnect web1"),
        ("disconnect", drbd_output.LOOKING, "drbdadm disconnect web1"),
        ("ask_handler_again", drbd_output.FROZEN, "drbdadm disconnect --force web1"),
        ("verification.start", drbd_output.PRIMARY, "drbdadm -- --start=0 verify web1"),
        ("verification.stop", drbd_output.VERIFYING, "drbdadm -- --start=0 --stop=8 verify web1"),
        ("invalidate", drbd_output.SECONDARY, "drbdadm invalidate web1"),
        ("invalidate_remote", drbd_output.PRIMARY, "drbdadm invalidate-remote web1"),
    ],
)
def test_a_verb_is_one_command(root: Path, verb: str, before: str, command: str) -> None:
    driver, run = drbd(root, before)

    attrgetter(verb)(driver)("web1")

    assert done(run) == [command]


@pytest.mark.parametrize(
    ("verb", "before"),
    [
        ("down", drbd_output.UNKNOWN),
        ("promote", drbd_output.PRIMARY),
        ("promote_by_force", drbd_output.PRIMARY),
        ("demote", drbd_output.SECONDARY),
        ("demote", drbd_output.UNKNOWN),
        ("connect", drbd_output.SECONDARY),
        ("connect", drbd_output.LOOKING),
        ("disconnect", drbd_output.ALONE),
        ("disconnect", drbd_output.UNKNOWN),
    ],
)
def test_a_verb_does_nothing_where_its_end_is_reached(root: Path, verb: str, before: str) -> None:
    driver, run = drbd(root, before)

    attrgetter(verb)(driver)("web1")

    assert done(run) == []


@pytest.mark.parametrize(
    ("verb", "word", "before", "after"),
    [
        ("promote", "primary", drbd_output.SECONDARY, drbd_output.PRIMARY),
        ("demote", "secondary", drbd_output.PRIMARY, drbd_output.SECONDARY),
        ("connect", "connect", drbd_output.ALONE, drbd_output.LOOKING),
        ("disconnect", "disconnect", drbd_output.SECONDARY, drbd_output.ALONE),
    ],
)
def test_a_failure_counts_by_the_state_that_it_leaves(
    root: Path, verb: str, word: str, before: str, after: str
) -> None:
    reached, _ = drbd(root, before, after, **{word: FAILED})
    missed, _ = drbd(root, before, before, **{word: FAILED})

    getattr(reached, verb)("web1")
    with pytest.raises(CommandFailed, match="Need access"):
        getattr(missed, verb)("web1")


FENCED = drbd_output.LOOKING.replace("peer-disk:DUnknown", "peer-disk:Outdated")


def test_a_promotion_is_repeated_while_the_lost_peer_is_outdated(root: Path) -> None:
    looks = [drbd_output.SECONDARY, FENCED, FENCED, FENCED, drbd_output.PRIMARY]
    driver, run = drbd(root, *looks, primary=FAILED)

    driver.promote("web1")

    assert done(run) == ["drbdadm primary web1"] * 2


@pytest.mark.parametrize(("after", "tries"), [(FENCED, 4), (drbd_output.LOOKING, 1)])
def test_a_promotion_that_keeps_failing_is_given_up(root: Path, after: str, tries: int) -> None:
    driver, run = drbd(root, after, primary=FAILED)

    with pytest.raises(CommandFailed, match="State change failed"):
        driver.promote("web1")

    assert done(run) == ["drbdadm primary web1"] * tries


def test_a_promotion_by_force_is_tried_once(root: Path) -> None:
    driver, run = drbd(root, FENCED, primary=FAILED)

    with pytest.raises(CommandFailed):
        driver.promote_by_force("web1")

    assert len(done(run)) == 1


def test_only_a_primary_is_looked_through_for_holders(root: Path) -> None:
    (root / "dev").mkdir()
    (root / "dev/drbd100").symlink_to("/dev/null")
    (root / "proc/7/fd").mkdir(parents=True)
    (root / "proc/7/fd/0").symlink_to("/dev/null")

    assert drbd(root, drbd_output.SECONDARY)[0].holders("web1") == []
    assert drbd(root, drbd_output.UNKNOWN)[0].holders("web1") == []
    assert [holder.pid for holder in drbd(root, drbd_output.PRIMARY)[0].holders("web1")] == [7]


def test_new_replicas_are_declared_equal_once(root: Path) -> None:
    driver, run = drbd(root, drbd_output.NEW, drbd_output.SECONDARY)

    driver.metadata.new_current_uuid_clear_bitmap("web1", 100)
    driver.metadata.new_current_uuid_clear_bitmap("web1", 100)

    assert done(run) == ["drbdsetup new-current-uuid 100 --clear-bitmap"]


def test_a_device_that_is_held_for_a_moment_is_demoted_in_the_end(root: Path) -> None:
    held = [drbd_output.PRIMARY] * 6
    driver, run = drbd(root, *held, drbd_output.SECONDARY, secondary=FAILED)

    driver.demote("web1")

    assert 1 < len(done(run)) < DEMOTION_TRIES


def test_a_device_that_stays_held_is_not_demoted(root: Path) -> None:
    driver, run = drbd(root, drbd_output.PRIMARY, secondary=FAILED)

    with pytest.raises(CommandFailed, match="State change failed"):
        driver.demote("web1")

    assert len(done(run)) == DEMOTION_TRIES


def test_outdating_a_replica_is_looked_after(root: Path) -> None:
    driver, run = drbd(root, drbd_output.OUTDATED)

    driver.outdate("web1")

    assert run.commands == ["drbdadm outdate web1", LOOK]


def test_outdating_a_connected_replica_changes_nothing_and_is_said(root: Path) -> None:
    driver, _ = drbd(root, drbd_output.SECONDARY)

    with pytest.raises(CommandFailed, match="changed nothing: it is Connected, UpToDate"):
        driver.outdate("web1")


@pytest.mark.parametrize(("flag", "took"), [("0", True), ("1", False)])
def test_outdating_one_that_is_down_is_read_from_its_metadata(
    root: Path, flag: str, took: bool
) -> None:
    gi = f"388FC162592D5154:0:0:0:1:{flag}:0:0:0:0:0"
    driver, _ = drbd(root, drbd_output.UNKNOWN, get_gi=gi)

    outcome = contextlib.nullcontext() if took else pytest.raises(CommandFailed, match="down")
    with outcome:
        driver.outdate("web1")


GI = "388FC162592D5154:1B34:0:0:{consistent}:{up_to_date}:1:0:0:1:0"


def test_a_stale_replica_is_pardoned_in_its_metadata_and_keeps_its_generation(root: Path) -> None:
    gi = GI.format(consistent=1, up_to_date=0)
    driver, run = drbd(root, drbd_output.OUTDATED, drbd_output.UNKNOWN, get_gi=f"\n{gi}\n")

    driver.clear_outdated("web1", 100, "/dev/vg0/web1")

    assert done(run) == [
        "drbdsetup down web1",
        "drbdadm get-gi web1",
        "drbdmeta --force 100 v08 /dev/vg0/web1 internal set-gi "
        + GI.format(consistent=1, up_to_date=1),
        "drbdadm up web1",
    ]


def test_what_is_not_stale_is_left_and_what_is_inconsistent_is_refused(root: Path) -> None:
    for consistent in (1, 0):
        gi = GI.format(consistent=consistent, up_to_date=1)
        driver, run = drbd(root, drbd_output.UNKNOWN, get_gi=gi)
        said = pytest.raises(CommandFailed, match="not consistent")
        with contextlib.nullcontext() if consistent else said:
            driver.clear_outdated("web1", 100, "/dev/vg0/web1")
        assert not any("set-gi" in command for command in run.commands)


@pytest.mark.parametrize(
    "said",
    [
        "drbd.d/web1.res:41: Parse error: 'resource' expected, but got 'foo'",
        "'web1' not defined in your config (for this host).",
        "drbd.conf:3: Failed to open include file '/etc/drbd.d/web1.res'.",
    ],
)
def test_a_file_that_drbdadm_cannot_read_is_told_with_what_writes_it_anew(
    root: Path, said: str
) -> None:
    driver, _ = drbd(root, drbd_output.SECONDARY, adjust=CommandFailed(said))

    with pytest.raises(CommandFailed) as failed:
        driver.adjust("web1")

    assert "mcv cluster check --fix" in failed.value.hint


@pytest.mark.parametrize("said", ["", "/etc/drbd.d/x.res:3: Parse error: 'on' expected"])
def test_what_the_hosts_own_configuration_lacks_is_told(root: Path, said: str) -> None:
    run = Recorder({"drbdadm sh-resources": CommandFailed(said) if said else "web1\n"})

    assert Drbd(run, root=root).module.complaint() == said
    assert run.commands == ["drbdadm sh-resources"]


SIZE = 102360 * 1024  # of the device in all of drbd_output
SHOWN = "resource web1 {\n    disk {\n        size \t204720s; # bytes\n    }\n}\n"


def give_size(root: Path, size: int) -> None:
    path = root / "etc/drbd.d/web1.res"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"resource web1 {{\n    disk {{\n        size {size // 512}s;\n    }}\n}}\n")


@pytest.mark.parametrize("verb", ["adjust", "up"])
@pytest.mark.parametrize("look", [drbd_output.SECONDARY, drbd_output.PRIMARY, drbd_output.ALONE])
def test_a_file_that_would_cut_the_device_is_not_taken_up(root: Path, verb: str, look: str) -> None:
    give_size(root, SIZE - 4096)
    driver, run = drbd(root, look)

    with pytest.raises(CommandFailed, match="gives the device 104812544 bytes, and it has 1048166"):
        getattr(driver, verb)("web1")

    assert done(run) == []


@pytest.mark.parametrize(
    ("story", "size", "looks", "shown", "commands"),
    [
        ("the kernel has it", SIZE, [drbd_output.SECONDARY], SHOWN, ["drbdadm adjust web1"]),
        ("there is a Primary", SIZE, [drbd_output.PRIMARY], "", ["drbdadm adjust web1"]),
        (
            "the peer is Primary",
            SIZE,
            [drbd_output.SECONDARY.replace("role:Secondary", "role:Primary")],
            "",
            ["drbdadm adjust web1"],
        ),
        (
            "both are Secondary",
            SIZE,
            [drbd_output.SECONDARY, drbd_output.SECONDARY, drbd_output.UNKNOWN],
            "",
            ["drbdsetup down web1", "drbdadm up web1"],
        ),
        ("it grows", SIZE + 4096, [drbd_output.SECONDARY], "", ["drbdadm adjust web1"]),
        ("without its disk", SIZE, [drbd_output.DETACHED], "", ["drbdadm adjust web1"]),
    ],
)
def test_the_size_in_a_file_is_taken_up(
    root: Path, story: str, size: int, looks: list[str], shown: str, commands: list[str]
) -> None:
    give_size(root, size)
    run = Adm({"drbdsetup events2": looks, "drbdsetup show": shown})

    Drbd(run, root=root).adjust("web1")

    assert [line for line in done(run) if not line.startswith("drbdsetup show")] == commands


def test_no_resync_is_broken_off_to_take_a_size_up(root: Path) -> None:
    give_size(root, SIZE)
    run = Adm({"drbdsetup events2": drbd_output.SYNCING.replace("role:Primary", "role:Secondary")})

    with pytest.raises(Busy, match="is SyncSource"):
        Drbd(run, root=root).adjust("web1")

    assert [line for line in done(run) if not line.startswith("drbdsetup show")] == []


def test_the_secret_that_drbdadm_repeats_is_left_out(root: Path) -> None:
    driver, _ = drbd(root, drbd_output.ALONE, connect=CommandFailed(drbd_output.CONNECT_FAILED))

    with pytest.raises(CommandFailed) as caught:
        driver.connect("web1")

    assert "s3cr3t" not in str(caught.value)
    assert str(caught.value).endswith("(102) Local address(port) already in use.")


def test_the_secret_is_left_out_where_nothing_else_was_said(root: Path) -> None:
    said = drbd_output.CONNECT_FAILED.replace(
        "web1: Failure: (102) Local address(port) already in use. ", ""
    )
    driver, _ = drbd(root, drbd_output.ALONE, connect=CommandFailed(said))

    with pytest.raises(CommandFailed, match="terminated with exit code 10") as caught:
        driver.connect("web1")

    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize(
    ("version", "verb"), [("8.4.11\n", "disk-options"), ("9.2.8\n", "peer-device-options")]
)
def test_a_rate_is_set_in_the_words_of_the_generation(root: Path, version: str, verb: str) -> None:
    (root / "sys/module/drbd/version").write_text(version)
    driver, run = drbd(root)

    driver.verification.set_rate("web1", 10 * 1024**2)

    assert run.commands == [f"drbdadm {verb} --resync-rate=10240K web1"]


def test_a_status_is_one_look(root: Path) -> None:
    driver, run = drbd(root, drbd_output.PRIMARY)

    status = driver.status("web1")

    assert status is not None and status.is_primary
    assert run.commands == [LOOK]


def test_the_status_of_an_unknown_resource_is_none(root: Path) -> None:
    driver, _ = drbd(root, drbd_output.UNKNOWN)

    assert driver.status("web1") is None


def test_without_the_module_nothing_is_asked(tmp_path: Path) -> None:
    driver, run = drbd(tmp_path)

    assert driver.status("web1") is None
    assert driver.statuses() == {}
    assert run.commands == []


def test_all_resources_and_their_minors_are_one_look(root: Path) -> None:
    driver, run = drbd(root, drbd_output.PRIMARY)

    assert list(driver.statuses()) == ["web1"]
    assert driver.minors() == [100]
    assert set(run.commands) == {"drbdsetup events2 --now --statistics"}


@pytest.mark.parametrize(
    ("text", "proc", "expected"),
    [
        (drbd_output.VERIFYING, drbd_output.PROC_VERIFYING, 11.0),
        (drbd_output.SYNCING, drbd_output.PROC_SYNCING, 14.0),
        (drbd_output.SECONDARY, drbd_output.PROC_VERIFYING, None),
        (drbd_output.NINE_SYNCING, "", 50.0),
    ],
)
def test_what_is_done_comes_from_wherever_the_generation_tells_it(
    root: Path, text: str, proc: str, expected: Any
) -> None:
    (root / "proc").mkdir()
    (root / "proc/drbd").write_text(proc)
    driver, _ = drbd(root, text)

    status = driver.status("web1")

    assert status is not None and status.done == expected


def test_versions_are_those_of_the_module_and_of_the_utilities(root: Path) -> None:
    said = "DRBDADM_API_VERSION=1\nDRBD_KERNEL_VERSION_CODE=0x08040b\nDRBDADM_VERSION=9.22.0\n"
    driver = Drbd(Recorder({"drbdadm --version": said}), root=root)

    assert driver.module.versions() == ("8.4.11", "9.22.0")
    assert driver.module.generation() == 8


def test_the_generation_of_a_module_that_is_not_loaded_is_known(tmp_path: Path) -> None:
    nine = Drbd(Recorder({"modinfo": "9.2.8\n"}), root=tmp_path)
    none = Drbd(Recorder({"modinfo": CommandFailed("Module drbd not found.")}), root=tmp_path)

    assert (nine.module.generation(), none.module.generation()) == (9, 0)
    assert not nine.module.is_loaded


def test_the_module_is_loaded_once(root: Path, tmp_path: Path) -> None:
    run = Recorder()

    Drbd(run, root=root).module.load()
    Drbd(run, root=tmp_path / "elsewhere").module.load()

    assert run.commands == ["modprobe drbd"]


def test_generations_and_options_are_read_from_the_tools(root: Path) -> None:
    gi = "388FC162592D5154:0:0:0:1:1:0:0:0:0:0\n"
    run = Adm({"drbdadm get-gi web1": gi, "drbdsetup show": drbd_output.SHOWN})
    driver = Drbd(run, root=root)

    assert driver.metadata.generations("web1").current == 0x388FC162592D5154
    assert driver.options("web1")["allow-two-primaries"] == "yes"
    assert run.commands == ["drbdadm get-gi web1", "drbdsetup show --show-defaults web1"]


class Replay:
    """Follows a recording instead of the kernel, and notes what it was asked to follow."""

    def __init__(self, path: Path, text: str) -> None:
        path.write_text(text)
        self.path = path
        self.commands: list[tuple[str, ...]] = []

    @contextlib.contextmanager
    def __call__(self, *command: str) -> Iterator[Any]:
        self.commands.append(command)
        with lines("cat", str(self.path)) as process:
            yield process


def test_events_are_what_exists_and_then_what_happens(root: Path) -> None:
    follow = Replay(root / "events", drbd_output.SECONDARY + drbd_output.VERIFIED)
    driver = Drbd(Recorder(), follow=follow, root=root)

    with driver.verification.events("web1") as events:
        seen = list(events)

    assert follow.commands == [("drbdsetup", "events2", "--statistics", "web1")]
    assert [event.verb for event in seen] == ["exists"] * 5 + ["change"] * 2
    assert [event.replication for event in seen if event.replication] == [
        "Established",
        "VerifyS",
        "Established",
    ]


def test_events_end_where_some_were_lost(root: Path) -> None:
    text = drbd_output.SECONDARY + "- skipped 2\n" + drbd_output.VERIFIED
    driver = Drbd(Recorder(), follow=Replay(root / "events", text), root=root)

    with driver.verification.events("web1") as events:
        seen = list(events)

    assert seen[-1].ends_the_dump


def test_a_stream_that_ends_before_it_has_begun_is_an_error(root: Path) -> None:
    driver = Drbd(Recorder(), follow=Replay(root / "events", ""), root=root)

    with pytest.raises(CommandFailed, match="ended at once"), driver.verification.events("web1"):
        pass
