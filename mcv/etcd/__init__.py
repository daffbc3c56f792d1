"""A client of etcd 3.4: its JSON gateway over mutual TLS. It knows nothing of the document."""
