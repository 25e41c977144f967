"""`jaxnas export` and `jaxnas predict`: trained networks as files that need no jaxnas."""
