"""The program that mcv-lease.service starts: it goes before others, and then reads its modules.

On a busy node reading them takes longer than all that follows, and the watchdog counts.
"""

from mcv.system import foremost


def main() -> None:
    foremost.thread_first()
    from mcv.ha import lease_process

    raise SystemExit(lease_process.serve())
