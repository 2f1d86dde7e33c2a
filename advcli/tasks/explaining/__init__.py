"""The parts of an explanation."""
