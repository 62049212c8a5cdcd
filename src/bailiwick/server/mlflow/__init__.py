"""MLflow's REST protocol as an adapter over our own services: paths, messages, codes and wording, and no rules."""
