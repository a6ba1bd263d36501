"""Does the instrument work? Sentinels, truth tables, the support table."""
