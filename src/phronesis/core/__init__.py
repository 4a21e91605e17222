"""Types, errors, ports, budget, journal, settings, seeds and HTTP: what every other package may import."""
