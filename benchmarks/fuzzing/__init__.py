"""Inputs that nobody means: how they are made, and what they are given to."""
