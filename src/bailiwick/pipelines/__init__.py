"""The project file, the durable engine that runs its steps, schedules and triggers. Knows nothing of machine learning."""
