"""The engine: a model runs on prompts under interventions. It knows no task, no measure and no claim."""
