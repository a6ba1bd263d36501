"""Prompt sets: text as tokens with named positions, answers and foils."""
