"""What agents and strategies use beside models: answers (extraction, equality); tools and retrieval follow."""

if __name__ != "phronesis.tools":
    raise ImportError("import phronesis.tools: the bare name 'tools' is not ours and would load a second copy")
