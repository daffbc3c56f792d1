"""Stories are read from small directories written here, and told outcomes from written lines."""

import json
from pathlib import Path

import pytest

from tests.ha import stories
from tests.ha.stories import Command, Domain, Failing, NotAStory
from tests.ha.story_outcome import Outcome, told

LINKED = {"power": "on", "network": "on"}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    written = tmp_path / "small-story"
    written.mkdir()
    write(written, "hardware_status", {"n1": LINKED, "n2": {**LINKED, "maxmem": 1024}})
    write(written, "manager_status", {})
    write(written, "service_config", {"vm:7": {"node": "n1", "state": "enabled"}})
    write(written, "cmdlist", [["power n1 on", "service vm:7 migrate n2"], []])
    return written


def write(directory: Path, name: str, value: object) -> None:
    (directory / name).write_text(value if isinstance(value, str) else json.dumps(value))


def test_a_directory_is_a_story(directory: Path) -> None:
    story = stories.read(directory)

    assert story.name == "small-story"
    assert story.batches == (
        (Command("power", "n1", ("on",)), Command("migrate", "vm:7", ("n2",))),
        (),
    )
    assert (story.nodes["n1"].is_on, story.nodes["n2"].memory) == (True, 1024)
    assert (story.services["vm:7"].wanted, story.services["vm:7"].is_live) == ("started", True)
    assert story.on_shutdown == "conditional"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("service ct:9 disabled", Command("set", "ct:9", ("stopped",))),
        ("service vm:7 add n2 enabled", Command("add", "vm:7", ("n2", "started"))),
        ("service vm:7 manual-migrate n2", Command("migrate-by-hand", "vm:7", ("n2",))),
        ("crm n1 enable-node-maintenance", Command("drain", "n1")),
        ("crm n1 stop", Command("manager", "n1", ("stop",))),
        ("crm n1 disarm-ha freeze", Command("disarm", "n1", ("freeze",))),
        ("cfs n3 rw fail", Command("store", "n3", ("rw", "fail"))),
        ("skip-round crm", Command("skip-round", "manager")),
        ("delay 10", Command("delay", "", ("10",))),
        ("link n1 n2 down", Command("link", "n1", ("n2", "down"))),
    ],
)
def test_commands_are_read_in_our_words(line: str, expected: Command) -> None:
    assert stories.command(line) == expected


@pytest.mark.parametrize("line", ["explode n1", "service vm:7"])
def test_an_unknown_command_is_refused(line: str) -> None:
    with pytest.raises(NotAStory, match=line):
        stories.command(line)


@pytest.mark.parametrize("wrong", [{"state": "perhaps"}, {}])
def test_an_unknown_state_or_kind_is_refused(directory: Path, wrong: dict[str, str]) -> None:
    name = "vm:7" if wrong else "xx:7"
    write(directory, "service_config", {name: {"node": "n1", **wrong}})

    with pytest.raises(NotAStory):
        stories.read(directory)


def test_limits_and_digits_of_a_service(directory: Path) -> None:
    wanting = {"node": "n1", "max_restart": "0", "max_relocate": 2, "failback": "0"}
    write(directory, "service_config", {"fa:320102": wanting, "fa:11": {"node": "n1"}})

    services = stories.read(directory).services

    failing = services["fa:320102"]
    assert (failing.restarts, failing.relocates, failing.failback) == (0, 2, False)
    assert failing.failing == Failing(starts=2, moves=0, stops=True, node="node2")
    assert failing.failing.is_on("node2")
    assert not failing.failing.is_on("node1")
    assert services["fa:11"].failing == Failing(starts=1)
    assert services["fa:11"].wanted == "stopped"
    assert not failing.is_live


def test_rules_are_domains_and_ties(directory: Path) -> None:
    write(
        directory,
        "rules_config",
        "node-affinity: near\n\tnodes n1:5,n2:9,n3\n\tresources vm:7\n\tstrict 1\n\n"
        "resource-affinity: both\n\tresources vm:7, vm:8\n\taffinity negative\n\n"
        "resource-affinity: off\n\tresources vm:7,vm:9\n\taffinity positive\n\tdisable 1\n",
    )

    story = stories.read(directory)

    assert story.domains == {"near": Domain({"n2": 1, "n1": 2, "n3": 3}, restricted=True)}
    assert story.services["vm:7"].domain == "near"
    assert story.ties == (("apart", frozenset({"vm:7", "vm:8"})),)


def test_a_group_is_a_domain(directory: Path) -> None:
    write(directory, "groups", "group: g\n\tnodes n1\n\tnofailback 1\n")
    write(directory, "service_config", {"vm:7": {"node": "n1", "group": "g"}})

    story = stories.read(directory)

    assert story.domains == {"g": Domain({"n1": 1}, restricted=False, failback=False)}
    assert story.services["vm:7"].domain == "g"


def test_what_the_manager_knew_and_what_services_need(directory: Path) -> None:
    begun = {"vm:7": {"node": "n2", "state": "error"}}
    write(directory, "manager_status", {"service_status": begun})
    write(directory, "static_service_stats", {"vm:7": {"maxcpu": 2, "maxmem": 64}})
    write(directory, "datacenter.cfg", {"ha": {"shutdown_policy": "migrate"}})

    story = stories.read(directory)

    assert (story.begun["vm:7"].state, story.begun["vm:7"].node) == ("failed", "n2")
    assert story.memory == {"vm:7": 64}
    assert story.on_shutdown == "migrate"


def test_the_directories_are_those_of_the_variable(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(stories.VARIABLE, str(directory.parent))
    assert stories.directories() == [directory]

    monkeypatch.delenv(stories.VARIABLE)
    assert stories.directories() == []


def test_a_log_tells_an_outcome(directory: Path) -> None:
    log = [
        "m: adding new service 'vm:7' on node 'n1'",
        "m: service 'vm:7': state changed from 'request_start' to 'started'  (node = n1)",
        "m: service 'vm:7': state changed from 'started' to 'migrate'  (node = n1, target = n2)",
        "m: service 'vm:7': state changed from 'migrate' to 'started'  (node = n2)",
        "m: adding new service 'vm:8' on node 'n1'",
        "m: service 'vm:8': state changed from 'started' to 'error'",
        "m: adding new service 'vm:9' on node 'n1'",
        "m: removing stale service 'vm:9' (no config)",
        "m: adding new service 'vm:5' on node 'n1'",
        "m: disarm: freezing service 'vm:5' (was 'started')",
        "m: service 'vm:5': updating node 'n1' => 'n2' (changed while disarmed)",
        "m: fencing: acknowledged - got agent lock for node 'n1'",
    ]

    outcome = told(stories.read(directory), log)

    assert outcome == Outcome(
        services={
            "vm:7": ("started", "n2"),
            "vm:8": ("failed", "n1"),
            "vm:5": ("frozen", "n2"),
        },
        fenced=frozenset({"n1"}),
        relocations=2,
    )
