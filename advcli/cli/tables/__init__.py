"""The tables of each command, made with rich."""
