"""Options that are read apart from the others (`plugin/settings.py`): of clusters, of strict runs."""
