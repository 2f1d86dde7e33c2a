"""Figures: learning curves, maps, contact sheets."""

import logging

# Matplotlib tells of its caches and fonts, which a user can do nothing about.
logging.getLogger("matplotlib").setLevel(logging.ERROR)
