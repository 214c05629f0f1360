"""How Homebrew is called: by its place on Apple Silicon, asking nothing and updating nothing by itself."""

from __future__ import annotations

PREFIX = "/opt/homebrew"
BREW = f"{PREFIX}/bin/brew"
QUIET = (
    "NONINTERACTIVE=1 HOMEBREW_NO_AUTO_UPDATE=1 HOMEBREW_NO_ANALYTICS=1 HOMEBREW_NO_ENV_HINTS=1"
    " HOMEBREW_NO_INSTALL_CLEANUP=1"
)
