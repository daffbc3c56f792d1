"""The wire: Pyro5 over a unix socket for the operator, over mutual TLS between daemons."""
