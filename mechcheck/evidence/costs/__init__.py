"""What claims take: measured as they run, and told before."""
