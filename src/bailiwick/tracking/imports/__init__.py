"""What was moved here from another tracking server: records keep their ids, and marks say how far that has come."""
