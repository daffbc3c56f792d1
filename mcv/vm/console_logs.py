"""What guests said on their serial consoles: virtlogd writes it, beside older parts of it."""

import logging
from pathlib import Path

from mcv.drivers import domain_xml
from mcv.errors import McvError
from mcv.system import files

log = logging.getLogger(__name__)


def rename(former: str, name: str) -> None:
    """Give what a renamed VM's guest said on this node the VM's name; harmless when it has it.

    A log that cannot be renamed holds nothing up.
    """
    newest, renamed = (Path(domain_xml.console_log(each)) for each in (former, name))
    try:
        for path in newest.parent.glob(f"{newest.name}*"):
            files.rename(path, renamed.with_name(renamed.name + path.name[len(newest.name) :]))
    except (McvError, OSError) as error:
        log.warning("the console's log of %s keeps its name: %s", former, error)


def remove(name: str) -> None:
    """Delete what the guest said on this node: it may be secret, and the VM is not here any more.

    A log that cannot be deleted holds nothing up.
    """
    newest = Path(domain_xml.console_log(name))
    try:
        for path in newest.parent.glob(f"{newest.name}*"):
            files.remove(path)
    except (McvError, OSError) as error:
        log.warning("the console's log of %s stays: %s", name, error)
