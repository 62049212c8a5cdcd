"""How a journal entry is told to the world: MLflow's webhooks, CloudEvents, OpenLineage."""
