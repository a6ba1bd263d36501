"""What kind of head it is: scores, detection, and what its weights match and write."""
