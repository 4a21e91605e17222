"""Strategies that search documents, in depth and in width."""
