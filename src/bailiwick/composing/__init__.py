"""Models made of models: a declared graph of steps, its arithmetic, and its package."""
