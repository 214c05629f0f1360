"""Words that people bring from Ansible, and what says the same here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from macfleet.documents import Document
from macfleet.model.diagnostic import Diagnostic

_NO_RESULT = (
    "There is no register: what is learned by doing belongs to the next stage, behind a gate, or into a lock."
)
_NO_HANDLER = (
    "There are no handlers: a resource compares what runs with what is wanted, and restarts by itself."
)
_GATE = "What must hold is a gate: macfleet docs lists them."
_VARIABLE = "Give it in vars of the playbook or in the role's defaults/main.yml."
_ROLE = "Name the role in roles: of the playbook, or in dependencies of another role's meta/main.yml."
_ONE_FILE = "A role has one tasks/main.yml; make roles of the parts and choose them with tags."
_FAILURE = "A failed step fails its node; max_failures says how many nodes may fail."

TASK: Mapping[str, str] = {
    "register": _NO_RESULT,
    "changed_when": "A resource knows whether it changes; a command says so with unless: or creates:.",
    "failed_when": "A command fails with its exit status; write the condition into its run:.",
    "notify": _NO_HANDLER,
    "listen": _NO_HANDLER,
    "ignore_errors": _FAILURE,
    "any_errors_fatal": _FAILURE,
    "become": "Say it of the resource: become: true among its parameters; no password is asked for.",
    "with_items": "Write loop: with a list.",
    "with_dict": "Write loop: with a list, such as {{ things | dictsort }}.",
    "block": "Blocks of tasks are roles here; block: with path: is the resource that keeps lines in a file.",
    "vars": _VARIABLE,
    "environment": "Set it in run: of a command, or in environment: of a launchd_service.",
    "run_once": "A task with delegate_to: controller acts once for all nodes.",
    "retries": "A resource is probed again after it was changed; a route is waited for by a gate.",
    "until": "A resource is probed again after it was changed; a route is waited for by a gate.",
    "include_tasks": _ONE_FILE,
    "import_tasks": _ONE_FILE,
    "include_role": _ROLE,
    "import_role": _ROLE,
    "include_vars": _VARIABLE,
    "set_fact": _VARIABLE,
    "assert": _GATE,
    "fail": _GATE,
    "debug": "Look at a value with: macfleet inventory explain NODE.VAR, or at the plan with --check.",
    "wait_for": _GATE,
    "copy": "The resource is file: with content: or source:.",
    "template": "The resource is file: with template:.",
    "stat": "A probe is part of every resource; ask beforehand with when: and the inventory.",
    "lineinfile": "The resource is line_in_file:.",
    "blockinfile": "The resource is block:.",
    "shell": "The resource is command: with run: and unless: or creates:.",
    "raw": "The resource is command: with run: and unless: or creates:.",
    "script": "The resource is command: with run: and unless: or creates:.",
    "homebrew": "The resource is brew_formula:.",
    "launchd": "The resource is launchd_service:.",
    "service": "The resource is launchd_service:.",
    "osx_defaults": "The resource is user_default:.",
    "get_url": "The resource is download:.",
    "unarchive": "The resource is archive:.",
    "docker_compose_v2": "The resource is compose_project:.",
    "mount": "The resource is mount_check:, which looks and never mounts.",
    "sysctl": "The resource is sysctl_limit:.",
}
"""By what stands in a task: a keyword of Ansible's, or the last part of a module's name."""
PLAY: Mapping[str, str] = {
    "serial": "Write strategy: {batch: 25%}, or a list of sizes.",
    "max_fail_percentage": "Write max_failures: 10%; met means stop.",
    "any_errors_fatal": "Write max_failures: 1.",
    "handlers": _NO_HANDLER,
    "gather_facts": "Facts are always read, together with everything else, in one exec.",
    "become": "Say it of a resource: become: true among its parameters.",
    "remote_user": "Set ansible_user in the inventory.",
    "connection": "Nodes are reached over SSH; what acts here has delegate_to: controller.",
    "pre_tasks": "Make a role of them and name it first.",
    "post_tasks": "Tasks act after the roles; what must hold then is a gate.",
    "vars_files": "Put the variables into group_vars/ of the inventory, or into vars: of the playbook.",
    "vars_prompt": "Name a secret where it is: env:NAME, file:PATH, keyring:… or vault:….",
    "environment": "Set it in run: of a command, or in environment: of a launchd_service.",
    "tags": "Give tags to roles and tasks.",
}
"""By what stands in a play."""

_DECLARED = (
    "What is declared of a node is in node: node.chip, node.platform, node.memory. "
    "What a probe finds is judged by a gate."
)
_RENDERS_ALIKE = "A rendering is the same every time: give the value in the inventory."
NAMES: Mapping[str, str] = {
    "facts": _DECLARED,
    "ansible_facts": _DECLARED,
    "ansible_architecture": "Write node.platform, such as linux/arm64, or node.chip.",
    "ansible_distribution": _DECLARED,
    "ansible_os_family": _DECLARED,
    "ansible_system": _DECLARED,
    "ansible_memtotal_mb": "Write node.memory, in bytes.",
    "ansible_processor": "Write node.chip.",
    "ansible_user": "Write node.user.",
    "ansible_host": "Write node.host.",
    "ansible_hostname": "Write inventory_hostname.",
    "ansible_fqdn": "Write node.host.",
    "ansible_check_mode": "A plan says what apply would do, so nothing may depend on which of them it is.",
    "ansible_date_time": _RENDERS_ALIKE,
    "now": _RENDERS_ALIKE,
    "lookup": f"{_RENDERS_ALIKE} A secret is named where it is: env:NAME, file:PATH, keyring:….",
    "query": _RENDERS_ALIKE,
    "hostvars": "A node sees its own variables; put what several nodes share into group_vars/.",
    "vars": "Name the variable itself; say what it is without one: NAME | default(…).",
    "groups": "node.groups are the groups a node is in.",
    "group_names": "Write: 'GROUP' in node.groups.",
    "play_hosts": "Nodes are planned one by one; waves are strategy:.",
    "ansible_play_hosts": "Nodes are planned one by one; waves are strategy:.",
    "omit": "Leave the key out, or make two tasks with when:.",
    "register": _NO_RESULT,
    "result": _NO_RESULT,
}
"""By a name that an expression uses."""


def said_here(word: str, words: Mapping[str, str]) -> str:
    """Return what says the same as a word of Ansible's; empty for any other word.

    A module's collection is left out: ``ansible.builtin.copy`` is ``copy``.
    """
    return words.get(word.rpartition(".")[2], "")


def answered(
    found: Iterable[Diagnostic], document: Document, words: Mapping[str, str]
) -> Iterator[Diagnostic]:
    """Yield findings about a mapping; one about a word of Ansible's says what is written here."""
    keys = document.value if isinstance(document.value, Mapping) else ()
    mends = {document.at(key): said_here(key, words) for key in keys}
    for each in found:
        yield replace(each, mend=(each.where and mends.get(each.where)) or each.mend)
