"""Figures as data; the report draws them."""
