"""One claim under several methods: what they are, the one answer, and how much the cells differ."""
