"""Which way of learning to prune keeps the most accuracy at equal compute."""
