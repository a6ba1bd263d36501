"""What a claim is written in, as plain data: sites, interventions, metrics."""
