"""The training stream: which sample comes when, and how it gets to the trainer."""
