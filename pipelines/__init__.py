"""Stages, the graph that DVC keeps of them, the Prefect flow that runs that graph, and the report."""
