"""mcv cluster check, with what would become of everything if a node died."""

from mcv.check import runner
from mcv.check.runner import CheckResult, FixPlan, FixResult
from mcv.cluster import ha_what_if
from mcv.host import Host


def check(host: Host) -> CheckResult:
    """All that is not as it should be, on every node."""
    return runner.check(host, ha_what_if.without_a_place)


def fix(host: Host, fixes: list[dict[str, str]], dry_run: bool = False) -> FixResult | FixPlan:
    """Have nodes mend what they were shown to need, and check again."""
    return runner.fix(host, fixes, dry_run, ha_what_if.without_a_place)
