"""The shipped tasks: what is asked of a model, and the two synthetic languages it is asked in."""
