"""Where a registered version came from, over all tools."""
