"""Lynceus, the part that runs in Lambda.

handlers   AWS shapes in and out, errors to statuses; decides nothing
wiring     builds the ports once per container, from settings
settings   the only reader of the environment
flow       receive, tick, submit, and the ports they need
adapters   the outside; foreign errors stop here
core       pure: events, bindings, expressions, schedules, submissions, workflows
"""
