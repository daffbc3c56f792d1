"""Steps of plans that define a VM's domain on a node, or take it away."""

from mcv.host import Host
from mcv.rules import preconditions
from mcv.vm import boot_files, console_logs, definition, run_notes

# The dispatcher holds the lock and has checked the claim.


def define(host: Host, name: str) -> None:
    """Define a domain here as the document describes it; harmless when it is.

    A domain that is new here has not run here since it was last the VM's: an old note is void.
    """
    if host.domains.state(name) == "absent":
        run_notes.remove(host, name)
    host.domains.define(definition.of(host, host.both()[-1].vm(name)))


def undefine(host: Host, name: str, discard_saved: bool = False) -> None:
    """Undefine a VM; raise Refused for an active domain, which keeps its definition.

    So does a domain whose memory is saved, unless an operator gave that up.
    """
    active = host.domains.is_active(name)
    preconditions.inactive(name, host.name, active, host.domains.state(name))
    if not discard_saved:
        preconditions.without_memory(name, host.name, host.domains.saved.of(name))
    host.domains.undefine(name)
    run_notes.remove(host, name)
    console_logs.remove(name)
    boot_files.remove(name)
