"""Monitoring: windows of live traffic judged against a reference, under a budget of false alarms."""
