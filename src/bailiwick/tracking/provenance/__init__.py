"""What someone needs to run a run again: its code, its packages, its machine, and how it fared on it."""
