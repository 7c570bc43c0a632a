"""Scoring by the papers' protocols: single images, means, tables with a row an image, work spread and resumed."""
