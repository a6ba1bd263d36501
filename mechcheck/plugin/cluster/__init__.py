"""Claims on a cluster: `pytest --mech-cluster WHERE` hands them out, and each worker runs pytest's own protocol on them."""
