"""A claim that is run over a grid of methods, cell by cell, and its contrasts there."""
