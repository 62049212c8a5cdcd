"""Other people's MLflow servers, read over their REST API."""
