"""How mcvd ends where only a human helps: code 3, in words, and systemd leaves it at that."""

import configparser
from pathlib import Path

import pytest

from mcv import daemon, settings
from mcv.document import startup
from mcv.document.initial import alone
from mcv.document.model import encode
from mcv.document.store import Store
from mcv.errors import Refused
from tests.documents import document

UNIT = Path(__file__).parents[2] / "etc" / "mcvd.service"


def ends(monkeypatch: pytest.MonkeyPatch) -> object:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr("sys.argv", ["mcvd"])
    with pytest.raises(SystemExit) as ended:
        daemon.main()
    return ended.value.code


def test_a_renamed_host_starts_no_cluster_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "n1").mkdir()
    (tmp_path / "n1" / "config.json").write_text(encode(document("n1")))
    conf = settings.Settings(
        hostname="web", node="web", address="", drbd_address="", var=tmp_path, run=tmp_path / "run"
    )
    monkeypatch.setattr(settings, "load", lambda: conf)

    assert ends(monkeypatch) == 3

    said = capsys.readouterr().err
    assert "holds the document of n1: mcvd does not begin anew beside it." in said
    assert "set node = n1 in /etc/mcv/mcv.conf" in said
    assert [path.name for path in tmp_path.iterdir()] == ["n1"]


def test_a_faulty_mcv_conf_ends_it_the_same_way(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def load() -> settings.Settings:
        raise Refused("/etc/mcv/mcv.conf has a key that mcv does not know: nod.")

    monkeypatch.setattr(settings, "load", load)

    assert ends(monkeypatch) == 3
    assert "mcvd: /etc/mcv/mcv.conf has a key" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["manager", "my_host"])
def test_a_host_whose_name_no_node_can_have_begins_no_cluster(tmp_path: Path, name: str) -> None:
    conf = settings.Settings(hostname=name, node=name, address="", drbd_address="", var=tmp_path)

    with pytest.raises(Refused, match=name):
        startup.opened(conf, "certificate")

    assert not conf.state.exists()


def test_a_node_of_before_keeps_its_name(tmp_path: Path) -> None:
    conf = settings.Settings(
        hostname="manager", node="manager", address="::1", drbd_address="::1", var=tmp_path
    )
    Store(conf.state, conf.history).begin(alone(conf, "certificate"))

    assert startup.opened(conf, "certificate").read().nodes.keys() == {"manager"}


def test_systemd_starts_it_no_more_then() -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.read(UNIT)

    assert unit["Service"]["RestartPreventExitStatus"] == "3"
    assert unit["Service"]["Restart"] == "on-failure"
