"""Strategies that draw samples and choose: one file each."""
