"""Restoring pictures beyond one pass over a whole array."""
