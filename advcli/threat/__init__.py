"""The threat model: norms, balls, per-image random numbers, and the inputs of the inner maximization."""
