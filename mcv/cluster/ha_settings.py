"""mcv ha settings: what is done about guests and hosts that fail."""

from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from mcv.document.availability import Ha
from mcv.errors import Refused, refuse_all
from mcv.host import Host

CHOICES = {
    "on-lost-lease": ("stop", "reset"),
    "on-stop-failure": ("attention", "fence"),
    "on-fence-failure": ("wait", "continue"),
    "after-fence": ("on", "off"),
    "on-shutdown": ("migrate", "failover", "freeze", "conditional"),
    "fence-trust": ("at-once", "after-lease"),
}
NAMES = (*CHOICES, "start-grace", "notify")
LONGEST = 86400  # s of start-grace


class SettingsNow(Struct, frozen=True, kw_only=True, rename=lambda name: name.replace("_", "-")):
    """The settings of high availability under the names that an operator types."""

    on_lost_lease: str
    on_stop_failure: str
    on_fence_failure: str
    after_fence: str
    on_shutdown: str
    fence_trust: str
    start_grace: int
    notify: list[str]


def show(host: Host) -> SettingsNow:
    """What is set now."""
    return _shown(host.read().ha)


def set_(host: Host, values: dict[str, str]) -> SettingsNow:
    """Change settings; every node takes them up. Raises Refused with everything that is wrong."""
    refuse_all([problem for key, text in values.items() for problem in _problems(key, text)])
    wanted = {key.replace("-", "_"): _read(key, text) for key, text in values.items()}
    cluster = host.update("ha.set", "ha settings " + " ".join(sorted(values)), **wanted)
    return _shown(cluster.ha)


def _problems(key: str, text: str) -> Iterator[Refused]:
    if key in CHOICES and text not in CHOICES[key]:
        *others, last = CHOICES[key]
        yield Refused(f"{key} is {', '.join(others)} or {last}, not {text!r}.")
    elif key == "start-grace" and not (_is_number(text) and int(text) <= LONGEST):
        yield Refused(f"start-grace is a number of seconds, {LONGEST} at most, not {text!r}.")
    elif key == "notify":
        for one in _listed(text):
            if not (one.isprintable() and (one.startswith("/") or _is_mail(one))):
                yield Refused(f"notify is mail addresses and paths of programs, not {one!r}.")
    elif key not in NAMES:
        yield Refused(f"There is no setting {key}.", f"There are: {', '.join(sorted(NAMES))}.")


def _read(key: str, text: str) -> Any:
    if key == "notify":
        return _listed(text)
    return int(text) if key == "start-grace" else text


def _listed(text: str) -> list[str]:
    return [one.strip() for one in text.split(",") if one.strip()]


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal()


def _is_mail(text: str) -> bool:
    name, _, host = text.partition("@")
    return bool(name and host) and "@" not in host and not text.startswith("-") and " " not in text


def _shown(ha: Ha) -> SettingsNow:
    return SettingsNow(
        on_lost_lease=ha.on_lost_lease,
        on_stop_failure=ha.on_stop_failure,
        on_fence_failure=ha.on_fence_failure,
        after_fence=ha.after_fence,
        on_shutdown=ha.on_shutdown,
        fence_trust=ha.fence_trust,
        start_grace=ha.start_grace,
        notify=list(ha.notify),
    )
