"""The chat client: an OpenAI-compatible endpoint, and the wrappers that journal and meter it inside a run."""
