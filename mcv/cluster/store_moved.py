"""What an operator is told after the document, or its voters, were moved."""

from typing import Literal

from msgspec import Struct

from mcv.host import DryRun

Kind = Literal["etcd", "unanimous"]


class StoreMoved(Struct, frozen=True, kw_only=True):
    """Where the document lies now, and who votes; `left` is what a human has to do yet, or ""."""

    store: Kind
    voters: list[str]
    left: str = ""


def preview(before: list[str], after: list[str], plan: list[str]) -> DryRun:
    """A plan with what is done over SSH before and after it."""
    return DryRun(plan=[*before, *plan, *after])
