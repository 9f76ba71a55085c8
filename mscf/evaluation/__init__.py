"""Masks compared: metrics, evaluation of a model, tables, statistics."""
