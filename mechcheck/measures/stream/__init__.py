"""What the residual stream says, and what is added to it."""
