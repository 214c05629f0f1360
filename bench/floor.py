"""The floor: bare paramiko, a thread a node, connect and run one exec. Prints seconds without imports.

Usage: floor.py KEY PORT… with the script for each node on stdin; an empty one is the command `:`.
"""

from __future__ import annotations

import sys
import threading
import time

import paramiko


def main() -> None:
    """Reach every port at once and print how long all of it took."""
    key = paramiko.Ed25519Key.from_private_key_file(sys.argv[1])
    ports = [int(port) for port in sys.argv[2:]]
    script = sys.stdin.buffer.read()
    threads = [threading.Thread(target=_reach, args=(port, key, script)) for port in ports]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(time.perf_counter() - began)


def _reach(port: int, key: paramiko.PKey, script: bytes) -> None:
    client = paramiko.SSHClient()
    # The keys are the lab's own on loopback; the floor is what the network costs.
    client.set_missing_host_key_policy(paramiko.AutoAddPolicy())  # noqa: S507
    client.connect("127.0.0.1", port=port, username="root", pkey=key, look_for_keys=False, allow_agent=False)
    stdin, stdout, _ = client.exec_command("exec /bin/sh -s" if script else ":")
    if script:
        stdin.write(script)
        stdin.channel.shutdown_write()
    stdout.read()
    if stdout.channel.recv_exit_status() != 0:
        raise SystemExit(f"port {port}: the script failed")
    client.close()


if __name__ == "__main__":
    main()
