"""Steps as script text: what runs, and files that take their place in one move."""

from __future__ import annotations

import base64

from macfleet.engine.script import HOMEBREW_PATH
from macfleet.model.resource import Put, Run
from macfleet.model.shell import quote


def step_text(step: Run | Put) -> str:
    """Return a step as script text; secrets in it stay inside the shell and its pipes."""
    if isinstance(step, Run):
        return _as_root(step.script) if step.become else step.script
    if step.become:
        return f"{_payload(step.content)} | sudo -n /bin/sh -c {quote(_put_script(step))}"
    text = _text_of(step.content)
    if text and _mask(step):
        return _put_by_shell(step, text)
    # What the shell itself prints needs no program that passes it on.
    return _put_script(step, text) if text else f"{_payload(step.content)} | {{ {_put_script(step)} }}"


def _as_root(script: str) -> str:
    return f"printf '%s' {quote(f'PATH={HOMEBREW_PATH}; export PATH;' + script)} | sudo -n /bin/sh -s"


def _payload(content: bytes) -> str:
    """Return a command that prints `content`; text goes as it is, other bytes as base64."""
    encoded = f"printf '%s' {quote(base64.b64encode(content).decode())} | /usr/bin/base64 -D"
    return _text_of(content) or encoded


def _text_of(content: bytes) -> str:
    """Return a command of the shell's own that prints `content`, empty when it is not text."""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        return ""
    return f"printf '%s' {quote(text)}" if "\0" not in text else ""


def _mask(step: Put) -> str:
    """Return the umask under which the shell makes a file of the step's mode; empty when it cannot."""
    mode = int(step.mode, 8)
    return "" if step.owner or mode & ~0o666 else f"{0o666 ^ mode:03o}"


def _put_by_shell(step: Put, source: str) -> str:
    """Write text with one program: the shell makes the file, whose name is no other living process's.

    ``set -C`` lets it make a new file only, so nobody's link or file of that name is written to.
    """
    path, new = quote(step.path), quote(f"{step.path.rpartition('/')[0]}/.macfleet.")
    return (
        f't={new}$$; if [ -e "$t" ] || [ -L "$t" ]; then rm -f "$t"; fi; set -C; umask {_mask(step)}; '
        f'{source} >"$t" && mv -f "$t" {path} || {{ rc=$?; rm -f "$t"; exit "$rc"; }};'
    )


def _put_script(step: Put, source: str = "cat") -> str:
    path, mode = quote(step.path), quote(step.mode)
    folder = quote(step.path.rpartition("/")[0] or "/")
    owner = f'chown {quote(step.owner)} "$t" && ' if step.owner else ""
    if step.become and not step.owner:  # what root writes anew stays whose it was
        owner = f'{{ [ ! -f {path} ] || chown "$(stat -L -f %Su:%Sg {path})" "$t"; }} && '
    return (
        f'umask 077; t=$(mktemp {folder}/.macfleet.XXXXXX) && {source} >"$t" && {owner}'
        f'chmod {mode} "$t" && mv -f "$t" {path} || {{ rc=$?; rm -f "$t"; exit "$rc"; }};'
    )
