"""Shared by the project's own tests and its claims."""

pytest_plugins = ["pytester"]
