"""Suites: bench files that come with the package."""
