"""Models: from a name to a loaded model whose weights are known."""
