"""Webhooks: who is told of what, and every attempt to tell them. Events are made from the journal alone."""
