"""What reading a file at the border imports."""

import subprocess
import sys

_READ = """
from macfleet.documents import Border, parse_yaml, validate
class Plan(Border):
    name: str
print(validate(parse_yaml(b"name: a", "plan.yml"), Plan).name)
import sys
print(*sorted(sys.modules))
"""


def test_pydantic_looks_for_no_plugins_and_no_word_is_compared_before_one_is_wrong():
    done = subprocess.run(
        [sys.executable, "-c", _READ], capture_output=True, text=True, check=True, timeout=60
    )
    name, _, modules = done.stdout.partition("\n")
    assert name == "a"
    assert "pydantic" in modules.split()
    assert not {"importlib.metadata", "email", "zipfile", "difflib"} & set(modules.split())
