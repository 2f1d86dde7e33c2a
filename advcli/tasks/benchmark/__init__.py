"""Measure models: clean, corrupted, under attack, certified."""
