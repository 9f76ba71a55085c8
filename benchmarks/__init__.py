"""Races of two forms of one thing; `make bench` runs them all."""
