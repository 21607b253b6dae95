"""What pruning costs and saves: trains and compares pruned models, controls and baselines on labelled functions."""
