"""Members of the cluster: joining, leaving, and what they agree on."""
