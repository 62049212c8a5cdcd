"""The demo: a year of real flights played against a running server, as a user and an upstream system would."""
