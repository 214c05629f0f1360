"""The only writers to the terminal: people's text (rich) and JSON."""
