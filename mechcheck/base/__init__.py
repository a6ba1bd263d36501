"""What everything else may use and what uses nothing of mechcheck: errors, paths, a cache, devices, a progress bar."""
