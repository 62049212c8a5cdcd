"""Stories that need many domains: train, release, promote or roll back, retrain on an alarm."""
