"""The road that one service takes from cluster to cluster, walked step by step until one does not hold."""
