"""Evidence that is on its way: on a worker, or of a run that was interrupted."""
