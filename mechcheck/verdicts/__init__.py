"""From measurements to verdicts: claims, expectations, controls, decoys."""
