"""Restoring the pictures in Parquet tables."""
