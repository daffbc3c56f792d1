"""Where two documents differ: a path and both values each, for human eyes."""

from collections.abc import Iterator

from mcv.document.model import Cluster
from mcv.system.answers import plain

LINEAGE = ("epoch", "generation", "parent", "change", "changes", "epochs")
LONGEST = 60  # characters of a value that are shown


def differences(left: Cluster, right: Cluster) -> list[str]:
    """Every value in which two documents differ, as `path: value / value`; lineage aside."""
    return list(_differences("", _without_lineage(left), _without_lineage(right)))


def last_change(document: Cluster) -> str:
    """The last change of a document, in a sentence: what, who, when."""
    made = document.change
    return f"Its last change: {made.why} ({made.who}, {made.when})."


def _without_lineage(document: Cluster) -> object:
    values = plain(document)
    assert isinstance(values, dict)
    return {key: value for key, value in values.items() if key not in LINEAGE}


def _differences(path: str, left: object, right: object) -> Iterator[str]:
    if left == right:
        return
    if isinstance(left, dict) and isinstance(right, dict):
        for key in sorted({*left, *right}):
            yield from _differences(f"{path}.{key}".lstrip("."), left.get(key), right.get(key))
    else:
        yield f"{path}: {_shown(left)} / {_shown(right)}"


def _shown(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, dict):
        return "there"
    if isinstance(value, list | tuple):
        names = [each for each in value if isinstance(each, str)]
        text = (", ".join(names) or "none") if len(names) == len(value) else "there"
    else:
        text = str(value)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
