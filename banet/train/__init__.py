"""Training: the loop in plain torch, and the Ray worker that runs it in parallel."""
