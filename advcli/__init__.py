"""Train, attack, benchmark and explain image classifiers from the command line."""

__version__ = "0.1.0"
