"""Metrics as pure functions over counts, tokens and times, one file each; only a price file is ever read here."""
