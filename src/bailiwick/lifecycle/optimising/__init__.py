"""Story: a version in smaller and faster forms, each measured beside it, and offered as a version of its own."""
