"""Metrics as pure functions over counts, tokens and times; no file is read here."""
