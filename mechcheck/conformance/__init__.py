"""Does the instrument work? Sentinels on each model, truth tables of compiled ones, the support table."""
