"""Paths, whole-file writes, PNG records, downloads."""
