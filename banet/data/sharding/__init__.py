"""Archives into shards."""
