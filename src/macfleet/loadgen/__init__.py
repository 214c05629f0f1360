"""The load client: the standard library, `macfleet.model` and one HTTP parser, so that it travels alone."""
