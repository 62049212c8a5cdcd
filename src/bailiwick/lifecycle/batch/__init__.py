"""Scoring whole sources through the graph that serves: in parallel, larger than memory, restartable."""
