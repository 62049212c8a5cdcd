"""Story: from the records of every domain to the facts of a model card."""
