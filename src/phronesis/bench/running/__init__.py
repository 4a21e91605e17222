"""The runner: a plan of cells, a folder that outlives a kill, executors, grading."""
