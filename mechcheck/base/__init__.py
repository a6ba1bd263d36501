"""What everything else may use: errors, paths, seeds, a cache, devices, progress."""
