"""From measurements to verdicts: claims, expectations, controls, searches for counterexamples."""
