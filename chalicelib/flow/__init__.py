"""The three stories, each a straight line from one port to the next: read these and you know the system.

receive   a request → who sent it → an event → a verdict of each binding → the ledger → the doorbell → an answer
submit    a doorbell → the submission in the ledger → its template → a Workflow → the outcome in the ledger
tick      each minute: cron runs planned ahead → the snapshot of bindings → the sweep of the outbox

A crash between any two lines loses nothing and doubles nothing: what is accepted is in the ledger before
anyone is told, what is attempted is in the ledger before it is tried, and names are decided by causes.
"""
