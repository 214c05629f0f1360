"""The names of stages, without what a stage consists of: all that is needed to find a playbook."""

from __future__ import annotations

from enum import StrEnum


class StageName(StrEnum):
    """The five stages in their order, and `provision` before them."""

    PROVISION = "provision"
    CONTRACT = "contract"
    IMAGES = "images"
    LAYOUT = "layout"
    NETWORK = "network"
    LOADTEST = "loadtest"
