"""Roles that check an attempt: rubrics, failure taxonomies, claims and their checks, verdicts."""
