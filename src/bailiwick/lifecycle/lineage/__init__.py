"""Story: where anything came from and what came of it, across all domains, as one graph."""
