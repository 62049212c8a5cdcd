"""What may be deployed: models, immutable versions with their evidence, aliases with their history, lineage."""
