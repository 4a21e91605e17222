"""Pure maths of strategies: votes, gates, pools, statistics. Standard library and numpy only."""
