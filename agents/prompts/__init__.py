"""Prompts as Markdown files; phronesis.agents.prompt loads and fills them."""
