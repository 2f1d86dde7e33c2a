"""Explain image files: which image, which class, which maps, and the files that show them."""
