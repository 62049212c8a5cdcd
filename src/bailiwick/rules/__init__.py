"""Rule-based models: JSON Decision Models (GoRules), held to what can be served, typed, packaged and evaluated."""
