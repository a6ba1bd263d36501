"""Records of claims: kept, merged, compared from run to run, told in text."""
