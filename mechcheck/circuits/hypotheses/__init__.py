"""Hypotheses about whole computations, tested by resampling and by interchange: causal scrubbing and causal abstraction."""
