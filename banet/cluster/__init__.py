"""Ray: the cluster that this process uses, and work spread over it."""
