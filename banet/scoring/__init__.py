"""Scoring by the papers' protocols: single images, means, and tables with a row per image; parallel and resumable."""
