"""The concept memory: ledger, recall, writing."""

if __name__ != "phronesis.memory":
    raise ImportError("import phronesis.memory: the bare name 'memory' is not ours and would load a second copy")
