"""What a model, its heads, its stream and its weights do on prompts."""
