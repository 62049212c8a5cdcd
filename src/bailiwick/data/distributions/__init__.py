"""What a column looks like: its distribution in one dataset or in two, ready to be drawn anywhere."""
