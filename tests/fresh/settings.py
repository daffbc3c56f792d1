"""What the host knows of where packages come from: copied into a fresh machine, and nowhere else.

Mirrors, proxies, certificates and passwords: without them a fresh machine reaches nothing.
"""

import configparser
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

RELEASE = "bookworm"

APT_SOURCES = ["etc/apt/sources.list", "etc/apt/sources.list.d"]
PIP = ["etc/pip.conf", "etc/xdg/pip", "root/.config/pip", "root/.pip"]
PLACES = ["find-links", "index-url", "extra-index-url"]
OTHERS = [
    *(f"etc/apt/{name}" for name in ("auth.conf", "auth.conf.d", "keyrings", "preferences")),
    *(f"etc/apt/{name}" for name in ("preferences.d", "trusted.gpg", "trusted.gpg.d")),
    *("usr/share/keyrings", "usr/local/share/ca-certificates", "etc/ssl/certs"),
    *("etc/hosts", "etc/resolv.conf"),
]

# The environment's part of it; where a word of these names a file, that is copied too.
FILES = [
    *("PIP_CERT", "PIP_CLIENT_CERT", "PIP_CONFIG_FILE", "PIP_CONSTRAINT"),
    *("CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"),
]
PROXIES = [
    name
    for scheme in ("http", "https", "ftp", "all", "no")
    for name in (f"{scheme}_proxy", f"{scheme}_proxy".upper())
]


def environment(given: Mapping[str, str]) -> dict[str, str]:
    """What a fresh machine's processes find in their environment: proxies, pip's, certificates."""
    own = {
        "HOME": "/root",
        "LANG": "C.UTF-8",
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "TERM": given.get("TERM", "dumb"),
    }
    passed = {*PROXIES, *FILES, "SSL_CERT_DIR"}
    return own | {
        name: value for name, value in given.items() if name in passed or name.startswith("PIP_")
    }


def directories(given: Mapping[str, str], host: Path = Path("/")) -> list[str]:
    """The host's directories that its settings name as places of packages."""
    named = [*_places_of_apt(host), *_places_of_pip(given, host)]
    # The files of an index lie beside its directory `simple`.
    wholes = {name.rstrip("/").removesuffix("/simple") for name in named}
    return sorted(name for name in wholes if name and _is_directory(host, name))


def _places_of_apt(host: Path) -> Iterable[str]:
    texts = [path.read_text() for name in APT_SOURCES for path in _files_of(host / name)]
    return [name for text in texts for name in re.findall(r"\b(?:file|copy):/*(/\S+)", text)]


def _places_of_pip(given: Mapping[str, str], host: Path) -> Iterable[str]:
    values = [given.get(f"PIP_{name.upper().replace('-', '_')}", "") for name in PLACES]
    for file in [*PIP, given.get("PIP_CONFIG_FILE", "").lstrip("/")]:
        for path in _files_of(host / file) if file else []:
            values += _pip_values(path)
    words = (word.removeprefix("file://") for value in values for word in value.split())
    return [word for word in words if word.startswith("/")]


def _pip_values(file: Path) -> Iterable[str]:
    parser = configparser.RawConfigParser()
    try:
        parser.read(file)
    except configparser.Error:
        return []  # a file of constraints, for one
    return [parser.get(part, name, fallback="") for part in parser.sections() for name in PLACES]


def _files_of(path: Path) -> Iterable[Path]:
    found = path.rglob("*") if path.is_dir() else [path]
    return [each for each in found if each.is_file()]


def _is_directory(host: Path, name: str) -> bool:
    return (host / name.lstrip("/")).is_dir()


def copy(to: Path, given: Mapping[str, str], host: Path = Path("/")) -> None:
    """Lay the host's settings out below a directory as they are below its root."""
    names = [*OTHERS, *PIP, *_files_named(given, host)]
    if _is_of_the_release(host):
        names += APT_SOURCES
    for name in names:
        _copy(host / name, to / name)
    (to / "etc/apt/apt.conf.d").mkdir(parents=True, exist_ok=True)
    (to / "etc/apt/apt.conf.d/00host").write_text(_apt_acquires())


def _files_named(given: Mapping[str, str], host: Path) -> Iterable[str]:
    words = (word for name in FILES for word in given.get(name, "").split())
    return [word.lstrip("/") for word in words if (host / word.lstrip("/")).is_file()]


def _is_of_the_release(host: Path) -> bool:
    """The sources of another release would make another machine."""
    release = host / "etc/os-release"
    return release.exists() and f"VERSION_CODENAME={RELEASE}\n" in release.read_text()


def _copy(source: Path, to: Path) -> None:
    """Copy a file or directory, links as what they lead to; one that leads nowhere is left out."""
    if source.is_dir():
        shutil.copytree(source, to, dirs_exist_ok=True, ignore=_dangling)
    elif source.exists():
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, to)


def _dangling(directory: str, names: list[str]) -> list[str]:
    return [name for name in names if not os.path.exists(os.path.join(directory, name))]


def _apt_acquires() -> str:
    """How the host's apt fetches. Its hooks stay: they call programs that the host alone has."""
    told = subprocess.run(
        ["apt-config", "dump", "Acquire"], capture_output=True, text=True, check=True
    )
    return told.stdout
