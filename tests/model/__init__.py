"""The whole life of a consent against a model of it."""
