"""Moments as they are typed: so long ago, or a time."""

import re
from datetime import UTC, datetime, timedelta

from mcv.errors import Refused

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
AGO = re.compile(r"(\d{1,6})([smhd])")


def since(text: str, now: datetime | None = None) -> str:
    """The moment that --since names, in UTC. Refused where it names none."""
    now = now or datetime.now(UTC)
    try:
        if ago := AGO.fullmatch(text.strip()):
            return stamp(now - timedelta(seconds=int(ago[1]) * UNITS[ago[2]]))
        # A time without a zone is this host's.
        return stamp(datetime.fromisoformat(text.strip()).astimezone(UTC))
    except (ValueError, OverflowError, OSError):
        raise Refused(
            f"--since {text!r} names no time.", "Say 10m, 2h, 3d, or 2026-01-31T12:00:00Z."
        ) from None


def stamp(moment: datetime) -> str:
    return (
        moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03}Z"
    )
