"""The values of single prompts, and the prompts' texts, as they lie beside the evidence."""
