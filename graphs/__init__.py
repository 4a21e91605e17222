"""Strategies as LangGraph graphs, the policies they stand on, recipes and runs."""

if __name__ != "phronesis.graphs":
    raise ImportError("import phronesis.graphs: the bare name 'graphs' is not ours and would load a second copy")
