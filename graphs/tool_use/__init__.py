"""Strategies whose model calls tools in a loop."""
