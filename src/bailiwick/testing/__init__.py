"""Fakes and conformance suites for people who extend or embed Bailiwick; public."""
