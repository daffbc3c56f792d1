"""A node's second certificate, of its key and for its address: by it etcd's members know it."""

from mcv.rpc.pki import Identity, certificate_at, is_certificate_at
from mcv.system import files


class Certificates:
    """The second certificate of one node, kept beside its key."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self._path = identity.directory / "etcd.pem"

    def kept(self, address: str) -> str:
        """The certificate for an address as it is kept; made where there is none.

        It is made anew where the one that is kept is for another address or of another key.
        """
        found = files.read_or_none(self._path) or ""
        if not is_certificate_at(self._identity, found, address):
            found = self.anew(address)
            self.keep(found)
        return found

    def anew(self, address: str) -> str:
        """Another certificate, for an address that this node is about to have; it is not kept."""
        return certificate_at(self._identity, address)

    def keep(self, certificate: str) -> None:
        """Keep the certificate that the document has. Without effect where it is kept already."""
        if (files.read_or_none(self._path) or "") != certificate:
            files.write_atomically(self._path, certificate)
