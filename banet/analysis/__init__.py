"""Analysing a network: what it attends to and what it costs."""
