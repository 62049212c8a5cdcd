"""The three kinds of process (control, serve, work) and the supervisor that keeps them running."""
