"""Protocols over HTTP: each a way to read a request for predictions and to write the answer."""
