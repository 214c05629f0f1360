"""YAML a user edits: parsed with positions, validated at the border, every problem with its place."""

from macfleet.documents.border import Border, validate
from macfleet.documents.nearest import nearest
from macfleet.documents.quantities import Seconds, Share, Size
from macfleet.documents.text import decoded
from macfleet.documents.yaml import Document, parse_yaml

__all__ = ["Border", "Document", "Seconds", "Share", "Size", "decoded", "nearest", "parse_yaml", "validate"]
