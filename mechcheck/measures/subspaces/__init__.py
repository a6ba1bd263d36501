"""Directions and subspaces: how they are found, what exchanging them does, and what else would do the same."""
