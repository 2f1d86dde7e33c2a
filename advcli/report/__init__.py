"""Figures: learning curves, maps, contact sheets."""

import logging

# Matplotlib logs notes on caches and fonts that a user cannot act on.
logging.getLogger("matplotlib").setLevel(logging.ERROR)
