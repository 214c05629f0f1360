"""Click commands, one file per noun; the only place where adapters are composed."""
