"""One file from the first of several sources that gives it whole, verified and pinned."""
