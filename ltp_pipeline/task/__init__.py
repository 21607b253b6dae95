"""What a classifier predicts and how its predictions are judged."""
