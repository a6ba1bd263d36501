"""Claims over a grid of methods, as they are told."""
