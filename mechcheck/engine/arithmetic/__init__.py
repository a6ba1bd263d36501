"""A model as weights and functions of tensors."""
