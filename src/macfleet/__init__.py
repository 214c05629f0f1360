"""macfleet: provision, roll out and measure LLM services on pools of Macs, with evidence."""

__version__ = "0.1.0"
