"""Outcome and step scorers, one per file."""
