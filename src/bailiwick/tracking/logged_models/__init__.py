"""Logged models: what a run saved and may be registered, with its params, tags, metrics and the place of its files."""
