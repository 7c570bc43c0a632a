"""Data: image files, downloads, archives, pairs made of people's own pictures, shards, the training stream."""
