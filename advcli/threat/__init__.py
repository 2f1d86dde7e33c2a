"""What a perturbation may be: norms, balls, random numbers, and the inner maximization of training."""
