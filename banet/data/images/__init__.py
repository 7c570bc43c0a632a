"""Image files: their pixels, and which files of a folder are images."""
