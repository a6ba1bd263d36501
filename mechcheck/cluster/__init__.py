"""Where work is done: processes here, a Ray cluster, Slurm; all behind `concurrent.futures.Executor`, and none imported unasked."""
