"""Pairs made of people's own pictures, videos and tables, and blur made from sharp pictures."""
