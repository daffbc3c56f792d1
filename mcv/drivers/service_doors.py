"""What a service of high availability is made with on this host: addresses, units, programs."""

from dataclasses import dataclass, field

from mcv.drivers.floating_address import FloatingAddress
from mcv.drivers.service_units import ServiceUnits
from mcv.errors import in_words
from mcv.ha.gate import OPEN, Passage
from mcv.system import root_files


class Programs:
    """The scripts of services, as they lie on this host."""

    def why_not(self, path: str) -> str:
        """Why others than root decide what a script is; "" where nobody does."""
        return root_files.why_not_roots(path)

    def digest(self, path: str) -> str:
        """Raises SystemFailed where it cannot be read."""
        with in_words(path):
            return root_files.sha256(path)


@dataclass
class ServiceDoors:
    """Doors of one host; addresses and units begin through its gate alone."""

    address: FloatingAddress
    units: ServiceUnits
    programs: Programs = field(default_factory=Programs)


def service_doors(gate: Passage = OPEN) -> ServiceDoors:
    return ServiceDoors(FloatingAddress(gate=gate), ServiceUnits(gate=gate))
