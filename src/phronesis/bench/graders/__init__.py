"""Graders: who says whether an answer is right. One file per kind of answer, a table of their names."""
