"""A model runs on prompts under interventions; no task, no measure, no claim."""
