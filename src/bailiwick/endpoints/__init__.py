"""Endpoints: the stable names that are called, the versions behind them, and the log of what was answered."""
