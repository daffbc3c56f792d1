"""The connection of one node to its cluster's etcd: its endpoints follow the document."""

import ssl
from collections.abc import Callable

from mcv.consensus.etcd.quorum import silent_of
from mcv.document import etcd_voters
from mcv.document.model import Cluster
from mcv.etcd.client import Etcd
from mcv.etcd.gateway import Endpoint, Gateway
from mcv.etcd.members import Upkeep


class Connection:
    """Reaches the voters that the document names, each known by its certificate.

    `documents` are the committed document and the proposal; `context` makes the TLS context
    that accepts exactly one certificate.
    """

    def __init__(
        self,
        me: str,
        documents: Callable[[], list[Cluster]],
        context: Callable[[str], ssl.SSLContext],
        port: int,
    ) -> None:
        self._me = me
        self._documents = documents
        self._make_context = context
        self._port = port
        self._known: dict[Endpoint, str] = {}
        self.gateway = Gateway([], self._context)
        self.etcd = Etcd(self.gateway)

    def follow(self) -> None:
        """Reach the voters of the newest document; to be called after each commit.

        Without effect while they, and their certificates, are the same.
        """
        in_etcd = [document for document in self._documents() if document.store is not None]
        if not in_etcd:
            return
        certificates = {voter.name: voter.certificate for voter in etcd_voters.voters(in_etcd[-1])}
        endpoints = etcd_voters.endpoints(in_etcd[-1], self._port, self._me)
        known = {endpoint: certificates[endpoint.name] for endpoint in endpoints}
        if known != self._known:
            self._known = known
            self.gateway.renew(endpoints)

    def silent(self) -> list[str]:
        """The voters that do not answer now."""
        return silent_of(Upkeep(self.gateway), sorted(self._known))

    def _context(self, endpoint: Endpoint) -> ssl.SSLContext:
        return self._make_context(self._known[endpoint])
