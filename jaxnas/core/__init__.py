"""The engine: pure functions of trees."""
