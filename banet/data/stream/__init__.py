"""The training stream: the order of samples, and how they reach the trainer."""
