"""What a model writes: text that it generates, and measurements of it."""
