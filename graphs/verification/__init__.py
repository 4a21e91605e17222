"""Strategies that check attempts and try again, and the loop that does so around any other strategy."""
