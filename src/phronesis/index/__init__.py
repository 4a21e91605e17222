"""Vectors: embedders and their fingerprints, exact search, the Chroma index."""
