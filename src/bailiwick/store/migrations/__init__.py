"""The history of the database schema. `tools/new_migration.py` writes the next step from the declared tables."""
