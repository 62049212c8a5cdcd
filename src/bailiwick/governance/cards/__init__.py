"""Model cards: what a version is, each fact with where it comes from, and the forms a card is written in."""
