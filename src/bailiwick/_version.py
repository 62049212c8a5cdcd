"""The released version; hatch reads it, so this file imports nothing."""

__version__ = "0.1.0"
