"""Black-box search strategies: ask for genomes, tell their results."""
