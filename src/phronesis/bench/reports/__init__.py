"""Reports: what a bench found, as tables, plots and one page."""
