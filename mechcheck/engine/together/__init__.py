"""Runs that several readers share."""
