"""A node's certificate for etcd is there before a cluster asks for it."""

from pathlib import Path

import pytest

from mcv.rpc import pki
from mcv.system import files
from tests.fuzz.test_state_files import woken


def test_it_is_made_at_the_daemons_start_so_that_a_refused_join_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pki.create("n1", tmp_path / "var/n1/pki")
    daemon = woken(tmp_path, monkeypatch)
    kept = tmp_path / "var/n1/pki/etcd.pem"
    assert not kept.exists()

    daemon._make_certificate()

    made = kept.read_text()
    assert pki.is_certificate_at(daemon.identity, made, "10.0.0.1")
    assert daemon.host.etcd.certificate("10.0.0.1") == made


def test_a_full_disk_then_holds_up_no_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pki.create("n1", tmp_path / "var/n1/pki")
    daemon = woken(tmp_path, monkeypatch)
    # A directory in its place cannot be written over.
    files.write_atomically(tmp_path / "var/n1/pki/etcd.pem/file", "")

    daemon._make_certificate()

    assert "certificate for etcd cannot be kept" in caplog.text
