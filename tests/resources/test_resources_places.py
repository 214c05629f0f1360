"""The table of kinds: each named as its class says, and imported when a playbook names it."""

import subprocess
import sys

import pytest

from macfleet import resources
from macfleet.resources import KINDS, PLACES, Params, params_of


def below(base):
    """Every class of ours that derives from another."""
    for each in base.__subclasses__():
        if each.__module__.startswith("macfleet."):
            yield each
            yield from below(each)


@pytest.mark.parametrize("kind", PLACES)
def test_a_kind_is_found_under_its_own_name(kind):
    found = params_of(kind)
    assert issubclass(found, Params)
    assert found.kind == kind


def test_every_class_of_parameters_stands_in_the_table():
    assert [each.kind for each in KINDS] == list(PLACES)
    assert set(KINDS) == {each for each in below(Params) if "kind" in vars(each)}


def test_one_kind_imports_no_other():
    script = (
        "import sys\nfrom macfleet.resources import PLACES, params_of\nparams_of('cron')\n"
        "print([each for each, (module, _) in PLACES.items() if f'macfleet.resources.{module}' in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "['cron']"


@pytest.mark.parametrize("name", resources.__all__)
def test_what_the_package_names_is_there(name):
    assert getattr(resources, name) is not None


def test_what_it_does_not_name_is_not():
    with pytest.raises(AttributeError, match="no attribute 'NoParams'"):
        _ = resources.NoParams
