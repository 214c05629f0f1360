"""Preferences keep their types and say when they are not there; a tap is a clone that stands at a commit."""

import pytest

pytestmark = pytest.mark.lab
TAP = "/opt/homebrew/Library/Taps/team/homebrew-tools"


def test_a_preference_keeps_the_type_it_was_written_with(node):
    written = {
        "-bool yes": ("boolean", "1"),
        "-int 3": ("integer", "3"),
        "-float 1.5": ("float", "1.5"),
        "-string 3": ("string", "3"),
        "'<array><integer>1</integer></array>'": ("array", "(\n    1\n)"),
    }
    for words, (kind, shown) in written.items():
        assert node(f"defaults write com.example.shim k {words}").returncode == 0
        assert node("defaults read-type com.example.shim k").stdout == f"Type is {kind}\n"
        assert node("defaults read com.example.shim k").stdout == f"{shown}\n"
    assert "<key>k</key>" in node("defaults export com.example.shim -").stdout


def test_what_is_not_there_is_said_so(node):
    for script, words in (
        ("defaults read com.example.none", "Domain com.example.none does not exist"),
        ("defaults read com.example.shim none", "pair of (com.example.shim, none) does not exist"),
        ("defaults delete com.example.shim none", "Defaults have not been changed."),
    ):
        done = node(script)
        assert done.returncode == 1
        assert words in done.stderr


def test_what_belongs_to_the_whole_mac_only_root_writes(node):
    done = node("defaults write /Library/Preferences/com.example.shim k -int 1")
    assert done.returncode == 1
    assert "Could not write domain" in done.stderr
    assert node("sudo -n defaults write /Library/Preferences/com.example.shim k -int 1").returncode == 0
    assert node("defaults read /Library/Preferences/com.example.shim k").stdout == "1\n"


def test_a_tap_is_a_clone_that_moves_to_a_commit(node):
    assert node.brewed("brew tap team/tools https://git.example/tools").returncode == 0
    assert "team/tools\n" in node.brewed("brew tap").stdout
    moved = node(f"git -C {TAP} fetch --quiet origin {'1' * 40} && git -C {TAP} checkout --quiet {'1' * 40}")
    assert moved.returncode == 0, moved.stderr
    assert node(f"git -C {TAP} rev-parse HEAD").stdout == "1" * 40 + "\n"
    assert "remote mismatch" in node.brewed("brew tap team/tools https://git.example/other").stderr
    assert node(f"git -C {TAP} fetch origin {'dead' * 10}").returncode == 128
    assert node.brewed("brew untap team/tools").returncode == 0
    assert node.brewed("brew untap team/tools").returncode == 1
