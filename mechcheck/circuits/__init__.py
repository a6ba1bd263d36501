"""Circuits: searched for, recorded, read again."""
