"""What best practice warns of in how a claim was measured: found from what its body ran, and told beside its verdict."""
