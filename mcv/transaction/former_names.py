"""Operations that were renamed: a journal entry of an earlier version still names them so."""

from typing import Any

# The name in an earlier version's journal, and the name in today's table.
FORMER_NAMES = {
    "drbd.birth": "drbd.skip_initial_sync",
    "drbd.part": "drbd.disconnect",
    "drbd.join": "drbd.connect",
    "drbd.give_up": "drbd.discard_and_reconnect",
    "vm.stay": "vm.resume_source",
    "vm.wake": "vm.resume_target",
    "vm.turn_away": "vm.discard_target",
    "volume.let_go": "volume.untag",
}


def renamed(value: Any) -> Any:
    """Decoded JSON of an entry with each call's operation under its present name."""
    if isinstance(value, list):
        return [renamed(item) for item in value]
    if not isinstance(value, dict):
        return value
    if value.get("type") == "call":
        operation = str(value.get("operation"))
        return value | {"operation": FORMER_NAMES.get(operation, operation)}
    return {key: renamed(item) for key, item in value.items()}
