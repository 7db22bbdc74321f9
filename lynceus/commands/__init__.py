"""The command line's verbs, one module each: `HELP`, `arguments(parser)`, `run(options, out) -> int`."""
