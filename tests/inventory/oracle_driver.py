"""Runs under ansible-core's own Python: answers what Ansible makes of an inventory and of patterns.

One JSON object a line on stdin: {"files": {path: text}, "modes": {path: octal}, "sources": [path],
"patterns": [text], "lenient": bool}. One a line on stdout: {"error": text} or {"groups": {name: {"hosts", "children"}},
"hosts": {name: {"groups", "vars"}}, "patterns": {text: [names] or null}}.
"""

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

from ansible import constants
from ansible.errors import AnsibleError
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader
from ansible.utils.display import Display
from ansible.vars.manager import VariableManager

INTERNAL = {
    "ansible_check_mode", "ansible_config_file", "ansible_diff_mode", "ansible_facts", "ansible_forks",
    "ansible_inventory_sources", "ansible_limit", "ansible_playbook_python", "ansible_run_tags",
    "ansible_skip_tags", "ansible_verbosity", "ansible_version", "group_names", "groups", "hostvars",
    "inventory_dir", "inventory_file", "inventory_hostname", "inventory_hostname_short", "omit",
    "playbook_dir", "environment", "play_hosts", "vars",
}  # fmt: skip


def main():
    init_plugin_loader()
    Display().display = silent
    top = Path(tempfile.mkdtemp())
    try:
        for number, line in enumerate(sys.stdin):
            folder = top / str(number)
            folder.mkdir()
            print(json.dumps(answer(json.loads(line), folder)), flush=True)
            shutil.rmtree(folder)
    finally:
        shutil.rmtree(top, ignore_errors=True)


def silent(*_, **__):
    """Keep warnings to themselves."""


def answer(case, folder):
    for path, text in case["files"].items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(int(case.get("modes", {}).get(path, "644"), 8))
    # Else Ansible goes on without a source that does not parse.
    constants.INVENTORY_ANY_UNPARSED_IS_FAILED = not case.get("lenient", False)
    loader = DataLoader()
    loader.set_basedir(str(folder))
    os.chdir(folder)
    try:
        inventory = InventoryManager(loader, [str(folder / source) for source in case["sources"]])
        variables = VariableManager(loader, inventory)
        return {
            "groups": {
                name: {
                    "hosts": [host.name for host in group.hosts],
                    "children": [g.name for g in group.child_groups],
                }
                for name, group in inventory.groups.items()
            },
            "hosts": {
                name: {
                    "groups": sorted(group.name for group in host.get_groups()),
                    "vars": plain(variables.get_vars(host=host, include_hostvars=False, stage="all")),
                }
                for name, host in inventory.hosts.items()
            },
            "patterns": {pattern: chosen(inventory, pattern) for pattern in case.get("patterns", ())},
        }
    except (AnsibleError, ValueError, TypeError) as error:
        return {"error": str(error)[:500]}


def chosen(inventory, pattern):
    try:
        if pattern.startswith("@"):  # only a limit is read from a file
            inventory.subset(pattern)
            found = [host.name for host in inventory.get_hosts("all")]
            inventory.subset(None)
            return found
        return [host.name for host in inventory.get_hosts(pattern)]
    except AnsibleError:
        return None


def plain(variables):
    return {name: json.loads(json.dumps(value)) for name, value in variables.items() if name not in INTERNAL}


if __name__ == "__main__":
    main()
