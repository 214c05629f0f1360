"""The files of a new fleet folder that no checkout needs: macfleet.yml, .gitignore, images.yml, locks."""

from __future__ import annotations

SETTINGS = """\
# Settings of this fleet. Every key is optional but the name: macfleet inventory show --settings
name: {name}

# Inventory sources, later ones win.
inventory: [inventory/hosts.yml]

# Variables that roles, templates and stages share, besides the node's own keys. Set one differently for a
# group or a node in the inventory; an inventory variable that is declared nowhere is refused.
variables:
  macfleet_home:
    description: Folder on the node that holds the Compose file and the load client
    default: "/Users/{{{{ ansible_user }}}}/macfleet"
  compose_project: {{description: Compose project of the container arm, default: chat}}
  compose_service: {{description: Service of that project which serves the engine, default: engine}}
  compose_file:
    description: Compose file on the node
    default: "/Users/{{{{ ansible_user }}}}/macfleet/compose.yaml"
  engine_port: {{description: Port of the container arm on the node's loopback, default: 8080}}
  bare_port: {{description: Port of the bare arm on the node's loopback, default: 8081}}
  front_port: {{description: "Port of host-engine's front on the node's loopback", default: 8090}}
  bare_label: {{description: launchd label of the bare engine, default: com.macfleet.engine}}
  engine_threads: {{description: "CPU threads of the engine, equal in all arms", default: 4}}
  engine_context: {{description: "Context of all slots together, in tokens", default: 16384}}
  weights_file: {{description: Weights file below roots.weights, default: small-chat.gguf}}
  accelerator: {{description: "What the bare engine computes on: metal, vulkan or cpu", default: metal}}
  forwarder: {{description: "How a port leaves the VM: ssh or grpc", default: ssh}}

# The vulnerability scanner of `macfleet image scan`, pinned by its hash; macfleet brings none.
# scanner:
#   command: [grype, "oci-dir:{{layout}}", -o, json]
#   sha256: 0000000000000000000000000000000000000000000000000000000000000000
#   format: grype
#   status: [db, status, -o, json]
"""

GITIGNORE = """\
# What runs leave stays out of git; the locks (*.lock) belong in.
/.macfleet/
"""

IMAGES = """\
# Images this fleet runs, by name. `macfleet image pin` resolves them and writes images.lock; nodes only ever
# see digests.
images:
  engine: {reference: "registry.example/llama-server:b10434"}
  loadgen: {reference: "registry.example/python:3.13"}
  # front: {reference: "registry.example/haproxy:3.0"}   where the arm host-engine is declared

# What stage 2 asks of every image; `trust: untrusted` beside a reference keeps it off other nodes.
# policy: {base: required, max_age: 180d, minimum: {engine: b8146}}
"""

SCAN = """\
# What a scan may find; stage 2 holds images that are not scanned, or break this.
limit: high
flag: medium
max_age: 7d
database_age: 7d
vex:
  - {file: vex/engine.json, author: Release team, expires: 2027-03-31}
exceptions:
  - {id: CVE-2026-1234, images: [engine], expires: 2027-01-31, reason: "no TLS is spoken in there"}
"""

WEIGHTS = """\
# Weights on the nodes: absolute path, size in bytes, sha256. Stage 3 refuses a node where they differ.
#   shasum -a 256 /Users/ops/models/small-chat.gguf
files: []
"""

PROMOTION = """\
# Differences between environments that are meant: macfleet promote refuses every other one. Names and values
# as it prints them; * matches. A mount is declared with its value.
differences:
  - {to: production, what: "engine.*.-t", value: "8", why: an M4 Pro has ten cores}
  - {from: staging, to: production, what: mounts.vm.weights, value: "/Users/ops/fast/*", why: a second disk}
"""
