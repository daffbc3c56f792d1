"""mcv.conf: what it may say, and what is taken where it says nothing."""

import threading
from pathlib import Path

import pytest

from mcv import settings
from mcv.errors import Refused


@pytest.fixture
def conf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("socket.gethostname", lambda: "Node1.example.org")
    monkeypatch.setattr(settings, "resolved_address", lambda name: "10.0.0.1")
    return tmp_path / "mcv.conf"


def test_without_a_file_the_host_speaks_for_itself(conf: Path) -> None:
    found = settings.load(conf)

    assert (found.node, found.hostname) == ("node1", "Node1.example.org")
    assert found.address == found.drbd_address == "10.0.0.1"
    assert found.state == Path("/var/lib/mcv/Node1.example.org")
    assert (found.history, found.volume_group, found.domain_type) == (1000, "", "")


@pytest.mark.parametrize("head", ["", "[mcv]\n", "# a comment\n[mcv]\n"])
def test_the_file_overrides_with_and_without_a_section(conf: Path, head: str) -> None:
    conf.write_text(
        head
        + "node = web-a  # its name\naddress=10.1.0.5\nvolume_group = vg%1\n"
        + "history = 7\n\ndomain_type = qemu\n"
    )

    found = settings.load(conf)

    assert (found.node, found.address, found.drbd_address) == ("web-a", "10.1.0.5", "10.1.0.5")
    assert (found.volume_group, found.history, found.domain_type) == ("vg%1", 7, "qemu")


def test_drbd_may_have_an_address_of_its_own(conf: Path) -> None:
    conf.write_text("address = 10.1.0.5\ndrbd_address = 10.2.0.5\n")

    assert settings.load(conf).drbd_address == "10.2.0.5"


def test_a_key_that_mcv_does_not_know_is_refused_and_named(conf: Path) -> None:
    conf.write_text("adress = 10.1.0.5\n")

    with pytest.raises(Refused, match="does not know: adress") as error:
        settings.load(conf)

    assert "address" in error.value.hint


@pytest.mark.parametrize("text", ["history = many", "history = 0", "verify_at_once = -1"])
def test_a_number_that_is_none_is_refused(conf: Path, text: str) -> None:
    conf.write_text(text)

    with pytest.raises(Refused, match=r"is not a number of 1 or more"):
        settings.load(conf)


def test_a_file_that_cannot_be_read_is_refused_with_its_name(conf: Path) -> None:
    conf.write_text("[mcv]\nthis is no setting\n")

    with pytest.raises(Refused, match=r"mcv.conf cannot be read"):
        settings.load(conf)


def test_a_loopback_address_is_no_address() -> None:
    assert settings.resolved_address("localhost") == ""
    assert settings.resolved_address("no-such-host.invalid") == ""


def test_the_program_that_drbd_calls_is_the_installed_one_or_the_named_one(conf: Path) -> None:
    assert settings.load(conf).drbd_handler == Path("/opt/mcv/bin/mcv-drbd-handler")

    conf.write_text("drbd_handler = /usr/lib/mcv/mcv-drbd-handler")

    assert settings.load(conf).drbd_handler == Path("/usr/lib/mcv/mcv-drbd-handler")


@pytest.mark.parametrize("path", ["mcv-drbd-handler", "/opt/my programs/handler", '/opt/a"b'])
def test_what_drbd_cannot_call_is_refused(conf: Path, path: str) -> None:
    conf.write_text(f"drbd_handler = {path}")

    with pytest.raises(Refused, match="is not the path of a program"):
        settings.load(conf)


@pytest.mark.parametrize("key", ["address", "drbd_address"])
def test_an_address_has_one_way_of_writing_and_is_one(conf: Path, key: str) -> None:
    conf.write_text(f"{key} = FD00:0::0005\n")
    assert getattr(settings.load(conf), key) == "fd00::5"

    conf.write_text(f"{key} = node5\n")
    with pytest.raises(Refused, match=f"{key} = node5 is no IP address"):
        settings.load(conf)


RESOLVED = [
    (["127.0.1.1", "::1"], ""),
    (["::1", "fd00::3", "10.0.0.3"], "10.0.0.3"),
    (["127.0.1.1", "fe80::1%eth0", "fd00::3"], "fd00::3"),
]


@pytest.mark.parametrize(("found", "address"), RESOLVED)
def test_a_host_name_resolves_to_what_another_host_can_reach(
    monkeypatch: pytest.MonkeyPatch, found: list[str], address: str
) -> None:
    entries = [(0, 0, 0, "", (text, 0)) for text in found]
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: entries)

    assert settings.resolved_address("n3") == address


def test_a_resolver_that_does_not_answer_resolves_to_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answered = threading.Event()
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: answered.wait(60) and [])
    monkeypatch.setattr(settings, "RESOLVE", 0.05)

    assert settings.resolved_address("n3") == ""
    answered.set()
