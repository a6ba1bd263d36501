"""Evidence as other programs read it."""
