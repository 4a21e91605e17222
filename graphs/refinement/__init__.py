"""Strategies that improve attempts: one file each."""
