"""The stages of the line: one pure function each, and its command for DVC."""
