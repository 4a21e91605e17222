"""Data sets with gold answers, figures with honest intervals, and the comparisons made of them."""
