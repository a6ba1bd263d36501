"""What a claim is written in, as plain data: where (sites, circuits), what is done there (interventions), what is read (metrics)."""
