"""One sweep, shared out to several processes."""
