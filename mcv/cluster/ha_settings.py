"""mcv ha settings: what is done about guests and hosts that fail."""

from msgspec import Struct

from mcv.document.availability import Ha
from mcv.errors import Refused, refuse_all
from mcv.host import Host

LATER = (
    *("on-stop-failure", "on-fence-failure", "after-fence", "on-shutdown", "fence-trust"),
    *("start-grace", "notify"),
)
NAMES = ("on-lost-lease", *LATER)


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
    problems: list[Refused] = []
    wanted: dict[str, str] = {}
    for key, text in values.items():
        if key == "on-lost-lease" and text in ("stop", "reset"):
            wanted["on_lost_lease"] = text
        elif key == "on-lost-lease":
            problems.append(Refused(f"on-lost-lease is stop or reset, not {text!r}."))
        elif key in LATER:
            problems.append(
                Refused(
                    f"{key} is about services and fencing, which this mcv does not do yet.",
                    "It can be set: on-lost-lease",
                )
            )
        else:
            problems.append(
                Refused(f"There is no setting {key}.", f"There are: {', '.join(sorted(NAMES))}.")
            )
    refuse_all(problems)
    cluster = host.update("ha.set", "ha settings " + " ".join(sorted(values)), **wanted)
    return _shown(cluster.ha)


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
