"""Evaluation: exact metrics, slices, and the gates a model must pass."""
