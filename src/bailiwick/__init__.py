"""Bailiwick runs machine-learning models in production and keeps them right."""

from bailiwick._version import __version__

__all__ = ["__version__"]
