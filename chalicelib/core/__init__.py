"""The pure core: no clock, no network, no environment; time and secrets are arguments."""
