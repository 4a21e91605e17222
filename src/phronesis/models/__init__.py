"""Engines and model files: the catalogue, pulling, the embedded engine."""
