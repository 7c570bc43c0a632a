"""The network of the paper, Sec. 3, its configuration, and models on disk."""
