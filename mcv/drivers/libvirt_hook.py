"""Whether libvirt asks mcv's hook before it starts a domain."""

import os
from enum import StrEnum
from pathlib import Path

HOOKS = "etc/libvirt/hooks"
HOOK = f"{HOOKS}/qemu.d/mcv"
DAEMONS = ("virtqemud", "libvirtd")


class HookState(StrEnum):
    """The hook is asked; or it is not there; or libvirt began before there was any hook.

    libvirt looks for hooks when it begins. Where it found any then, it runs all that are there
    at each start of a domain.
    """

    ASKED = "asked"
    ABSENT = "absent"
    UNSEEN = "unseen"


def state(root: Path = Path("/")) -> HookState:
    """The hook's state on this host. A libvirt that does not run will see it when it begins."""
    if not _is_program(root / HOOK):
        return HookState.ABSENT
    began = [when for daemon in DAEMONS if (when := _began(root, daemon)) is not None]
    return HookState.UNSEEN if began and _first_hook(root) > max(began) else HookState.ASKED


def _first_hook(root: Path) -> float:
    """Since when there is a hook for QEMU; mcv's counts among others."""
    hooks = root / HOOKS
    candidates = (hooks / "qemu", *(hooks / "qemu.d").iterdir())
    return min(path.stat().st_ctime for path in candidates if _is_program(path))


def _is_program(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)


def _began(root: Path, daemon: str) -> float | None:
    """When a daemon of libvirt's began, in seconds since 1970; None where it does not run."""
    try:
        pid = int((root / f"run/{daemon}.pid").read_text(encoding="utf-8"))
        stat = (root / f"proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        boot = (root / "proc/stat").read_text(encoding="utf-8").partition("btime ")[2]
        # The name, in parentheses, may hold anything; the 22nd field is when it started.
        ticks = int(stat.rpartition(")")[2].split()[19])
        return int(boot.split()[0]) + ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return None
