"""One folder for each technology that Bailiwick works with but does not need."""
