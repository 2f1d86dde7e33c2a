"""Attack image files."""
