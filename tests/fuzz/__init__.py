"""Longer searches for inputs that break a promise; `make fuzz` runs them."""
