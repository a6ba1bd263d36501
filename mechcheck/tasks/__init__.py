"""The shipped tasks, and the two synthetic languages they are asked in."""
