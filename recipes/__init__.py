"""The shipped recipes (TOML) and the demo's problems."""

if __name__ != "phronesis.recipes":
    raise ImportError("import phronesis.recipes: the bare name 'recipes' is not ours and would load a second copy")
