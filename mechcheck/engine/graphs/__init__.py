"""Runs of whole graphs, with any of their edges cut."""
