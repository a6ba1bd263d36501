"""Numbers and how sure they are: measurements, estimates, intervals."""
