"""The commands of `jaxnas latency`, and the campaign that a search measures by itself."""
