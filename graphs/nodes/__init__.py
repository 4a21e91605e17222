"""Node factories and steps that several strategies share."""
