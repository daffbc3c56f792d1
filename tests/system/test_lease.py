"""The file that says until when a host may run guests."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mcv.system import lease
from mcv.system.lease import LeaseFile


def test_what_was_written_is_read_and_valid_until_its_end(tmp_path: Path) -> None:
    lease.write(LeaseFile(lease.boot_id(), lease.now() + 60), tmp_path / "run")

    assert lease.is_valid(tmp_path / "run")
    file = lease.read(tmp_path / "run")
    assert file is not None
    assert not file.is_valid(lease.boot_id(), file.until)


def test_a_lease_of_another_boot_is_none(tmp_path: Path) -> None:
    lease.write(LeaseFile("another", lease.now() + 60), tmp_path)

    assert lease.read(tmp_path) is not None
    assert not lease.is_valid(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "7",
        '{"boot": "b"}',
        '{"boot": "b", "until": "soon"}',
        '{"boot": "b", "until": NaN}',
        '{"boot": "b", "until": Infinity}',
        "[" * 100_000,
        b"\xff",
    ],
)
def test_what_makes_no_sense_is_no_lease(tmp_path: Path, text: str | bytes) -> None:
    (tmp_path / "lease").write_bytes(text if isinstance(text, bytes) else text.encode())

    assert lease.read(tmp_path) is None
    assert not lease.is_valid(tmp_path)


def test_without_a_file_there_is_no_lease(tmp_path: Path) -> None:
    assert not lease.is_valid(tmp_path)
    lease.remove(tmp_path)


def test_a_draft_that_a_killed_process_left_is_in_nobodys_way(tmp_path: Path) -> None:
    (tmp_path / ".lease.draft").write_text("half")

    lease.write(LeaseFile("b", 7.5), tmp_path)

    assert json.loads((tmp_path / "lease").read_text()) == {"boot": "b", "until": 7.5}
    assert [path.name for path in tmp_path.iterdir()] == ["lease"]
    lease.remove(tmp_path)
    assert lease.read(tmp_path) is None


def test_the_reader_needs_the_standard_library_alone() -> None:
    code = (
        "import sys; before = {*sys.modules}; import mcv.system.lease;"
        "known = {*before, *sys.stdlib_module_names, 'mcv'};"
        "print([name for name in sys.modules if name.partition('.')[0] not in known])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
