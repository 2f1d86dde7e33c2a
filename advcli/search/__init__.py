"""Attacks on a classifier: the compiled attack, 8-bit quantization, minimum norm, universal perturbations."""
