"""What is served is watched: figures of each picture that arrives, and how they differ from the shards."""
