"""Benchmarks, archives, synthesis, shards, sampling, augmentation, streaming."""
