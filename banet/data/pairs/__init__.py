"""Pairs from users' own pictures, videos and tables, and synthetic blur of sharp pictures."""
