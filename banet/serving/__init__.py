"""Pictures restored over HTTP by Ray Serve."""
