"""From sources to what AWS runs: templates read and compared, the artefact slimmed. Never deployed itself."""
