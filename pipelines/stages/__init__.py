"""The stages of the pipeline: one pure function each, and its command for DVC."""
