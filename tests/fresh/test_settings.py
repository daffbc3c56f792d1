"""A fresh machine reaches what the host does: it has the host's settings, and what they name."""

from pathlib import Path

import pytest

from tests.fresh import settings

SOURCES = "deb [signed-by=/usr/share/keyrings/a.gpg] http://mirror/debian bookworm main\n"
PIP_CONF = """
[global]
cache-dir = /var/cache/pip
find-links =
    /srv/wheels
    http://elsewhere/wheels
extra-index-url = file:///srv/index/simple
"""


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """A host's root, with settings of all kinds."""
    host = tmp_path / "host"
    files = {
        "etc/os-release": "ID=debian\nVERSION_CODENAME=bookworm\n",
        "etc/apt/sources.list": SOURCES,
        "etc/apt/auth.conf.d/mirror.conf": "machine mirror login me password secret\n",
        "etc/pip.conf": PIP_CONF,
        "etc/resolv.conf": "nameserver 192.0.2.1\n",
        "usr/share/ca-certificates/our.crt": "our own\n",
        "etc/machine-id": "0123\n",
        "opt/certificates/bundle.pem": "all of them\n",
    }
    for name, text in files.items():
        (host / name).parent.mkdir(parents=True, exist_ok=True)
        (host / name).write_text(text)
    for name in ("srv/wheels", "srv/index/simple", "var/cache/pip", "srv/debs"):
        (host / name).mkdir(parents=True)
    (host / "etc/ssl/certs").mkdir(parents=True)
    (host / "etc/ssl/certs/our.pem").symlink_to("../../../usr/share/ca-certificates/our.crt")
    (host / "etc/ssl/certs/gone.pem").symlink_to("/nowhere")
    return host


def copied(host: Path, given: dict[str, str]) -> dict[str, str]:
    to = host.parent / "to"
    settings.copy(to, given, host)
    files = {str(path.relative_to(to)): path for path in to.rglob("*") if path.is_file()}
    assert not any(path.is_symlink() for path in files.values())
    return {name: path.read_text() for name, path in files.items()}


def test_the_host_s_settings_are_copied_and_nothing_else(host: Path) -> None:
    found = copied(host, {})

    assert sorted(found) == [
        "etc/apt/apt.conf.d/00host",
        "etc/apt/auth.conf.d/mirror.conf",
        "etc/apt/sources.list",
        "etc/pip.conf",
        "etc/resolv.conf",
        "etc/ssl/certs/our.pem",
    ]
    assert found["etc/ssl/certs/our.pem"] == "our own\n"


def test_the_host_s_apt_brings_how_it_fetches_and_none_of_its_hooks(host: Path) -> None:
    lines = copied(host, {})["etc/apt/apt.conf.d/00host"].splitlines()

    assert lines and all(line.startswith("Acquire") for line in lines)


def test_the_sources_of_another_release_stay_behind(host: Path) -> None:
    (host / "etc/os-release").write_text("ID=debian\nVERSION_CODENAME=trixie\n")

    assert "etc/apt/sources.list" not in copied(host, {})


def test_certificates_that_the_environment_names_are_copied(host: Path) -> None:
    given = {"REQUESTS_CA_BUNDLE": "/opt/certificates/bundle.pem", "PIP_CERT": "/not/there"}

    assert copied(host, given)["opt/certificates/bundle.pem"] == "all of them\n"


def test_directories_of_packages_are_those_that_settings_name(host: Path) -> None:
    (host / "etc/apt/sources.list").write_text(SOURCES + "deb file:/srv/debs ./\n")

    assert settings.directories({}, host) == ["/srv/debs", "/srv/index", "/srv/wheels"]
    given = {"PIP_FIND_LINKS": "/var/cache/pip http://elsewhere"}
    assert "/var/cache/pip" in settings.directories(given, host)


def test_the_environment_is_proxies_pip_s_and_certificates() -> None:
    given = {
        "https_proxy": "http://proxy:3128",
        "NO_PROXY": "localhost",
        "PIP_INDEX_URL": "https://mirror/simple",
        "SSL_CERT_FILE": "/etc/ssl/certs/all.crt",
        "HOME": "/home/me",
        "PATH": "/home/me/bin",
        "PYTHONPATH": "/home/me/lib",
        "LAB": "/home/me/lab",
    }

    found = settings.environment(given)

    passed = ["https_proxy", "NO_PROXY", "PIP_INDEX_URL", "SSL_CERT_FILE"]
    assert {name: found[name] for name in passed} == {name: given[name] for name in passed}
    assert sorted(set(found) - set(passed)) == ["HOME", "LANG", "PATH", "TERM"]
    assert found["HOME"] == "/root" and "/home" not in found["PATH"]
