"""Lynceus for people: the command line and the local system. Nothing here is ever deployed."""
