"""Restoring a video."""
