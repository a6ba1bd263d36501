"""`--mech-resume`: what an interrupted run had decided is told again, and only the rest is run."""
