"""Roles, the chat client, decoding of replies, logprob maths and scorers."""

if __name__ != "phronesis.agents":
    raise ImportError("import phronesis.agents: the bare name 'agents' is not ours and would load a second copy")
