"""Looking into a network: what it attends to, what it costs."""
