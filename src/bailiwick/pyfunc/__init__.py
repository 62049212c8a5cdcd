"""MLflow models that run as what they are: read without loading them, packaged, and run in confined processes of Python."""
