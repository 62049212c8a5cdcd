"""Readers of one kind of source each; `data/sources.py` chooses among them and makes their types agree."""
