"""A page on which a model is played with: a prompt, heads, what is done to them, and what the model says then.

`mechcheck explore` serves it to this machine alone. Every number on it is one of the public functions', on a `PromptSet` of that prompt.
"""
