"""From what a search learned to a network at a target: opened, aimed at, chosen, measured."""
