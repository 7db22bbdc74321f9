"""The local Kubernetes API, as its callers see it; most of it also asked of a real server where one is given."""
