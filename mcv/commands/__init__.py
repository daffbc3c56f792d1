"""What the operator types: one module per noun; words in, one call, one sentence out."""
