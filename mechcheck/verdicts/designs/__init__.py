"""Designs of experiments as checks: what is compared with what, where one effect alone would not say it."""
