"""Shards: a benchmark as Parquet, written once, read at random."""
