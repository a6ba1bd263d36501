"""Evidence: records of claims, merged, compared from run to run, told in text."""
