"""A finding: something that is not as it should be, how bad that is, and what to do next."""

from collections.abc import Iterable
from enum import StrEnum

from mcv.document.generation import Value


class Severity(StrEnum):
    """How bad a finding is; the worst comes first.

    An error stops a VM, a start or a change. A warning costs room or order. A note is worth
    knowing and needs nobody.
    """

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"

    @property
    def rank(self) -> int:
        """0 for the worst."""
        return list(Severity).index(self)


class Finding(Value, frozen=True, kw_only=True):
    """What is wrong, in a sentence, and the command that helps."""

    severity: Severity
    message: str
    hint: str = ""

    @property
    def sentence(self) -> str:
        """Message and hint in one line."""
        return f"{self.message.rstrip('.')}: {self.hint}" if self.hint else self.message

    @property
    def needs_somebody(self) -> bool:
        return self.severity is not Severity.NOTE


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """The findings by severity, equal ones in the order in which they came; none twice."""
    return sorted(dict.fromkeys(findings), key=lambda finding: finding.severity.rank)
