"""The tables of each command: the only places beside the output that draw with rich."""
