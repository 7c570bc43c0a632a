"""What a run of Prefect's is made of: what it may choose, its turn, its processes, who ends it, what its page shows."""
