"""pydantic without a search for plugins that is never wanted here."""

from __future__ import annotations

import sys
import types


def without_plugins() -> None:
    """Have pydantic find no plugins, whoever is installed beside it.

    It looks through the metadata of every installed package for them before it builds its first validator:
    with the e-mail and archive modules that this brings, 25 ms of every command. What a border accepts is
    ours to say alone, too. Where pydantic asks elsewhere (2.14 asks here), it looks as ever.
    """
    name = "pydantic.plugin._loader"
    if name not in sys.modules:
        nobody = types.ModuleType(name)
        vars(nobody)["get_plugins"] = tuple
        sys.modules[name] = nobody
