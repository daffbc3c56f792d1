"""The program behind libvirt's hook: it judges by what lies on disk, and talks to nobody."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace

from mcv.document.availability import EtcdStore, Ha
from mcv.document.model import Cluster, Vm, encode
from mcv.drbd import verify
from mcv.drivers.domain_xml import Source, domain_xml
from mcv.rules.beginning import Permit
from mcv.settings import Settings
from mcv.system import lease
from mcv.system.lease import LeaseFile
from mcv.system.start_gate import StartGate
from mcv.vm import libvirt_hook, migrate, power, start_permit
from tests.documents import after, disk, document
from tests.documents import vm as a_vm
from tests.fakes.cluster import FakeCluster

FRONT = Path(__file__).parents[2] / "etc" / "libvirt-hook"
IN_ETCD = EtcdStore(id="abc", voters=("n1", "n2"))
BASE = document().with_vm(a_vm(incarnation=2))
THEIRS = document().with_vm(a_vm(node="n2"))
COMING = after(THEIRS, "vm.claim", "job1.1", name="web1", why="migrate web1 to n1")
FAILED = replace(disk().verification, result="out-of-sync", blocked=True)
BLOCKED = document().with_vm(a_vm(disks=(disk(verification=FAILED),)))
FOREIGN = "<domain><name>web1</name><uuid>0</uuid></domain>"
PAST_VERIFICATION = Permit(ignores_verification=True)


@pytest.fixture
def conf(tmp_path: Path) -> Settings:
    return Settings(
        hostname="n1",
        node="n1",
        address="10.0.0.1",
        drbd_address="10.0.0.1",
        var=tmp_path / "var",
        run=tmp_path / "run",
    )


def hold(conf: Settings, committed: Cluster, proposal: Cluster | None = None) -> None:
    conf.state.mkdir(parents=True, exist_ok=True)
    (conf.state / "config.json").write_text(encode(committed))
    if proposal is not None:
        (conf.state / "proposal.json").write_text(encode(proposal))


def xml(of: Vm | None = None) -> str:
    source = Source(type="block", path="/dev/drbd100")
    return domain_xml(
        of or a_vm(),
        sources={1: source},
        networks={},
        node="n1",
        domain_type="qemu",
        emulator="/bin/true",
    )


def ask(conf: Settings, operation: str, text: str = "") -> int:
    return libvirt_hook.answer(conf, operation, text or xml())


def test_both_documents_must_give_the_vm_to_this_node(
    conf: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    hold(conf, BASE)
    assert ask(conf, "prepare") == 0

    hold(conf, BASE, THEIRS)

    assert ask(conf, "prepare") == 1
    said = capsys.readouterr()
    assert said.out == "" and said.err == "mcv: web1 belongs to n2. mcv info web1\n"


def test_a_start_that_cannot_be_marked_is_refused_with_the_reason(
    conf: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    hold(conf, replace(BASE, ha=Ha(armed=True), store=IN_ETCD))
    conf.run.mkdir(parents=True, exist_ok=True)
    (conf.run / "starting").write_text("no directory")

    assert libvirt_hook.answer(conf, "prepare", xml()) == libvirt_hook.REFUSE

    assert "the start of web1 cannot be marked" in capsys.readouterr().err


@pytest.mark.parametrize("operation", ["prepare", "restore", "migrate"])
def test_on_an_armed_node_nothing_of_mcv_s_begins_without_a_valid_lease(
    conf: Settings, operation: str, capsys: pytest.CaptureFixture[str]
) -> None:
    armed = replace(COMING if operation == "migrate" else BASE, ha=Ha(armed=True), store=IN_ETCD)
    hold(conf, armed)
    restored = xml(a_vm(incarnation=2))

    assert ask(conf, operation, restored) == 1
    assert "n1 is armed and has no valid lease" in capsys.readouterr().err
    assert ask(conf, operation, FOREIGN) == 0

    assert StartGate(conf.run).marks() == ()

    lease.write(LeaseFile(lease.boot_id(), lease.now() + 60), conf.run)
    assert ask(conf, operation, restored) == 0
    # PREPARE comes after the others, and is the last before there is a process.
    assert StartGate(conf.run).marks() == (("web1",) if operation == "prepare" else ())

    lease.write(LeaseFile(lease.boot_id(), lease.now() - 1), conf.run)
    assert ask(conf, operation, restored) == 1


def test_memory_of_another_incarnation_is_not_restored(
    conf: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    hold(conf, BASE)

    assert ask(conf, "restore", xml(a_vm(incarnation=2))) == 0
    assert ask(conf, "restore", xml(a_vm(incarnation=1))) == 1
    assert "is old" in capsys.readouterr().err


def test_without_a_document_mcv_s_own_are_refused_and_all_others_let_through(
    conf: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ask(conf, "prepare") == 1
    assert "cannot be read" in capsys.readouterr().err
    assert ask(conf, "prepare", FOREIGN) == ask(conf, "prepare", "no XML at all") == 0

    hold(conf, BASE)
    (conf.state / "proposal.json").write_text("{torn")

    assert ask(conf, "prepare") == 1
    assert ask(conf, "prepare", FOREIGN) == 0
    assert "\n" not in capsys.readouterr().err.strip()


def test_what_is_no_beginning_is_none_of_its_business(conf: Settings) -> None:
    for operation in ("start", "started", "stopped", "release", "reconnect", "attach"):
        assert ask(conf, operation) == 0


def test_an_arrival_begins_once_and_only_after_it_was_let_in(conf: Settings) -> None:
    hold(conf, COMING)
    assert ask(conf, "prepare") == 1

    assert ask(conf, "migrate") == 0

    assert ask(conf, "prepare") == 0
    assert ask(conf, "prepare") == 1


@pytest.mark.parametrize("torn", [b"\xff\xfe", None])
def test_a_note_of_an_arrival_that_cannot_be_read_forbids_no_start(
    conf: Settings, torn: bytes | None
) -> None:
    note = conf.run / f"{a_vm().uuid}.arrival"
    conf.run.mkdir(parents=True)
    if torn is None:
        note.mkdir()
    else:
        note.write_bytes(torn)

    hold(conf, COMING)
    assert ask(conf, "prepare") == 1
    hold(conf, BASE)
    assert ask(conf, "prepare") == 0

    assert not note.exists()


def test_a_failed_verification_is_passed_once_and_while_mcvd_is_at_it(conf: Settings) -> None:
    hold(conf, BLOCKED)
    assert ask(conf, "prepare") == 1

    with start_permit.given(conf.notes, a_vm().uuid, PAST_VERIFICATION):
        assert ask(conf, "prepare") == 0
        assert ask(conf, "prepare") == 1  # it was good for one start

    with start_permit.given(conf.notes, a_vm().uuid, PAST_VERIFICATION):
        pass  # a start that never came so far as to ask
    assert ask(conf, "prepare") == 1


def test_what_a_killed_mcvd_left_allows_nothing(conf: Settings) -> None:
    hold(conf, BLOCKED)
    # It writes the note, and dies before it asks libvirt.
    die = (
        "import os, sys; from pathlib import Path; from mcv.vm import start_permit;"
        "from mcv.rules.beginning import Permit;"
        "note = start_permit.given(Path(sys.argv[1]), sys.argv[2],"
        " Permit(ignores_verification=True)); note.__enter__(); os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", die, conf.notes, a_vm().uuid], check=False)
    left = list(conf.notes.iterdir())
    assert len(left) == 1

    assert ask(conf, "prepare") == 1

    # Neither does it where another process has its number by now, or after a reboot.
    note = left[0].read_text()
    process = start_permit.process_of(os.getpid())
    assert process is not None
    for other in (replace(process, started="1"), replace(process, boot="another")):
        with start_permit.given(conf.notes, a_vm().uuid, PAST_VERIFICATION):
            text = left[0].read_text()
            assert text != note
            for field in ("started", "boot"):
                text = text.replace(
                    f'"{field}":"{getattr(process, field)}"', f'"{field}":"{getattr(other, field)}"'
                )
            left[0].write_text(text)
            assert ask(conf, "prepare") == 1


def test_a_torn_note_allows_nothing(conf: Settings) -> None:
    hold(conf, BLOCKED)
    conf.notes.mkdir(parents=True)

    for text in ("", "{", "null", '{"permit": 1}', "\x00"):
        (conf.notes / f"{a_vm().uuid}.start.json").write_text(text)
        assert ask(conf, "prepare") == 1


# The front, which libvirt runs


@pytest.fixture
def front(tmp_path: Path) -> Path:
    """The front, with a Python that tells what it was asked, and refuses."""
    python = tmp_path / "python3"
    python.write_text('#!/bin/sh\necho "$@"; cat; exit 7\n')
    python.chmod(0o755)
    path = tmp_path / "mcv"
    path.write_text(FRONT.read_text().replace("/opt/mcv/bin/python3", str(python)))
    shutil.copymode(FRONT, path)
    path.chmod(0o755)
    return path


def run(front: Path, *arguments: str, text: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([front, *arguments], input=text, capture_output=True, text=True)


def test_the_front_asks_about_mcv_s_own_domains_alone(front: Path) -> None:
    asked = run(front, "web1", "prepare", "begin", "-", text=xml())
    foreign = run(front, "web1", "prepare", "begin", "-", text=FOREIGN)
    large = run(front, "web1", "prepare", "begin", "-", text=FOREIGN + " " * 1_000_000)

    assert asked.returncode == 7
    assert asked.stdout == f"-I -m mcv.vm.libvirt_hook prepare\n{xml()}"
    assert (foreign.returncode, foreign.stdout, foreign.stderr) == (0, "", "")
    assert large.returncode == 0


def test_a_start_is_marked_before_the_lease_is_looked_at(
    conf: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold(conf, replace(BASE, ha=Ha(armed=True), store=IN_ETCD))
    seen = []

    def is_valid(run: Path) -> bool:
        seen.append(StartGate(run).marks())
        return True

    monkeypatch.setattr(lease, "is_valid", is_valid)

    assert ask(conf, "prepare") == 0
    assert seen == [("web1",)]


@pytest.mark.parametrize(
    ("operation", "sub", "is_over"),
    [
        ("started", "begin", True),
        ("release", "end", True),
        ("start", "begin", False),
        ("stopped", "end", False),
    ],
)
def test_the_front_ends_the_marker_of_a_start_that_is_over(
    front: Path, tmp_path: Path, operation: str, sub: str, is_over: bool
) -> None:
    front.write_text(front.read_text().replace("/run/mcv", str(tmp_path)))
    StartGate(tmp_path).mark("web1")
    StartGate(tmp_path).mark("web2")

    assert run(front, "web1", operation, sub, "-", text=xml()).returncode == 0
    assert run(front, "none", operation, sub, "-", text=xml()).returncode == 0

    assert StartGate(tmp_path).marks() == (("web2",) if is_over else ("web1", "web2"))


@pytest.mark.parametrize("operation", ["start", "started", "stopped", "release", "reconnect"])
def test_the_front_lets_through_what_begins_nothing(front: Path, operation: str) -> None:
    done = run(front, "web1", operation, "begin", "-", text=xml())

    assert (done.returncode, done.stdout) == (0, "")


def test_without_its_python_mcv_s_own_are_refused_and_others_let_through(front: Path) -> None:
    (front.parent / "python3").unlink()

    assert run(front, "web1", "prepare", "begin", "-", text=xml()).returncode != 0
    assert run(front, "web1", "prepare", "begin", "-", text=FOREIGN).returncode == 0


# What mcvd gives to its own starts


def begins_with(cluster: FakeCluster, node: str) -> list[Permit]:
    """The permits that the hook sees at each beginning of a domain on a node."""
    seen: list[Permit] = []
    notes, asked = cluster.hosts[node].settings.notes, cluster.domains[node].hook

    def hook(operation: str, xml: str) -> int:
        seen.append(start_permit.valid(notes, cluster.read(node).vm("web1").uuid))
        return asked(operation, xml)

    cluster.domains[node].hook = hook
    return seen


def test_a_start_past_a_failed_verification_carries_its_permit_and_leaves_none(
    vm: FakeCluster,
) -> None:
    seen = begins_with(vm, "n1")
    vm.run("n1", power.start, name="web1", ignore_verify=True)
    vm.run("n1", power.stop, name="web1")
    vm.world.differs["mcv-web1-1"] = 4096
    vm.run("n1", verify.verify, name="web1")

    vm.run("n1", power.start, name="web1", ignore_verify=True)

    assert seen == [Permit(), PAST_VERIFICATION]
    assert list(vm.hosts["n1"].settings.notes.glob("*.start.json")) == []


def test_a_start_that_is_a_step_names_the_claim_that_it_is_a_step_of(vm: FakeCluster) -> None:
    seen = begins_with(vm, "n2")

    vm.run("n1", migrate.migrate, name="web1", to="n2", start_after_migration=True)

    operation = vm.read("n2").change.id.partition(".")[0]
    assert seen == [Permit(operation=operation, ignores_verification=False)]
