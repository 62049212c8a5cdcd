"""Rollouts: a new version earns its traffic by evidence, with error rates that hold however often one looks."""
