"""Story: a project's data becomes a proposed model version. `pipeline.py` has the steps in order."""
