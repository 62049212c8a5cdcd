"""Statistics computed where the data is: one small plan of aggregates, written in SQL for each engine."""
