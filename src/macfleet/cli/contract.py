"""`macfleet contract`: freeze, check, show and compare what is promised."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from macfleet.cli.contract_generate import generate
from macfleet.cli.contract_probe import probe
from macfleet.cli.fleet import FleetContext, fleet_command
from macfleet.cli.whole_file import write_whole
from macfleet.model.diagnostic import MacfleetError

if TYPE_CHECKING:
    from macfleet.contract.lock import ContractLock
    from macfleet.model.contract import Bucket, Contract, Tenant
    from macfleet.model.json import JsonObject

_ROOT = "contract"


@click.group()
def contract() -> None:
    """Freeze, check and show what is promised: routes, buckets, service levels, fixtures.

    Example: macfleet contract check
    """


@contract.command()
@fleet_command
def freeze(fleet: FleetContext) -> None:
    """Write contract.lock; refused when something changed and the version was not raised.

    Example: macfleet contract freeze
    """
    from macfleet.contract.load import load_folder
    from macfleet.contract.lock import LOCK_FILE
    from macfleet.contract.lock import freeze as freeze_text

    folder = load_folder(fleet.files, _ROOT)
    existing = _lock(fleet)
    text = freeze_text(folder, existing)
    path = fleet.root / _ROOT / LOCK_FILE
    changed = not path.is_file() or path.read_text(encoding="utf-8") != text
    if changed:
        write_whole(path, text)
    promised = folder.contract
    done = "frozen" if changed else "unchanged"
    _say(
        fleet,
        {"kind": "contract.freeze", "changed": changed, **_head(promised)},
        [f"{'✓' if changed else '·'} {_title(promised)} {done}: {_ROOT}/{LOCK_FILE}"],
    )


@contract.command()
@fleet_command
def check(fleet: FleetContext) -> None:
    """Whether contract and fixtures are the frozen ones; exits 2 when not.

    Example: macfleet contract check
    """
    from macfleet.contract.load import load_folder
    from macfleet.contract.lock import check as differences

    folder = load_folder(fleet.files, _ROOT)
    found = differences(folder, _lock(fleet))
    if found:
        raise MacfleetError(found)
    promised = folder.contract
    count = len(promised.fixture_hashes)
    _say(
        fleet,
        {"kind": "contract.check", **_head(promised)},
        [f"✓ {_title(promised)} is as frozen: {count} fixtures, {len(promised.routes)} routes"],
    )


@contract.command()
@fleet_command
def show(fleet: FleetContext) -> None:
    """What is promised, with its hashes.

    Example: macfleet contract show
    """
    from macfleet.contract.load import load_contract

    promised = load_contract(fleet.files, _ROOT)
    _say(fleet, {"kind": "contract", **_document(promised)}, _lines(promised))


@contract.command()
@click.argument("old", required=False, metavar="[LOCK]")
@fleet_command
def diff(fleet: FleetContext, old: str | None) -> None:
    """What changed since the freeze, in words; LOCK names another contract.lock to compare with.

    Example: macfleet contract diff
    """
    from macfleet.contract.load import load_folder
    from macfleet.contract.lock import diff as words_between
    from macfleet.contract.lock import lock_of, parse_lock

    now = lock_of(load_folder(fleet.files, _ROOT))
    before = parse_lock(_bytes(old), old) if old else _lock(fleet)
    if before is None:
        _say(fleet, {"kind": "contract.diff", "frozen": False, "changes": []}, ["Not frozen yet."])
        return
    words = words_between(before, now)
    versions = (
        f"{before.name} v{before.version} ({before.hash[:8]}…) → {now.name} v{now.version} ({now.hash[:8]}…)"
    )
    same = before.hash == now.hash and before.sent == now.sent
    effect = (
        "Runs of both compare."
        if same
        else f"Runs made with {before.hash[:12]}… cannot be compared with new ones."
    )
    document: JsonObject = {
        "kind": "contract.diff",
        "frozen": True,
        "before": {"version": before.version, "hash": before.hash, "sent": before.sent},
        "after": {"version": now.version, "hash": now.hash, "sent": now.sent},
        "changes": list(words),
    }
    _say(fleet, document, [versions, *(f"~ {each}" for each in words), effect])


def _lock(fleet: FleetContext) -> ContractLock | None:
    from macfleet.contract.lock import LOCK_FILE, parse_lock

    path = f"{_ROOT}/{LOCK_FILE}"
    return parse_lock(fleet.files.read(path), path) if fleet.files.exists(path) else None


def _bytes(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise click.UsageError(f"{path} cannot be read: {error.strerror}") from error


def _head(promised: Contract) -> JsonObject:
    return {
        "name": promised.name,
        "version": promised.version,
        "hash": promised.hash,
        "sent": promised.sent_hash,
        "fixtures": dict(promised.fixture_hashes),
    }


def _document(promised: Contract) -> JsonObject:
    return {
        **_head(promised),
        "routes": [{"path": r.path, "stream": r.stream, "usage": r.usage} for r in promised.routes],
        "model": promised.model,
        "engine_slots": promised.engine_slots,
        "concurrency": list(promised.concurrency),
        "primary": promised.primary,
        "duration": promised.duration,
        "buckets": {bucket.name: _bucket(bucket) for bucket in promised.buckets},
        "tenants": {
            each.name: {"in_flight": each.in_flight, "per_minute": each.per_minute}
            for each in promised.tenants
        },
        "memory": _memory(promised),
        "client": {
            "keep_alive": promised.client.keep_alive,
            "retries": 0,
            "connect_timeout": promised.client.connect_timeout,
            "stall_timeout": promised.client.stall_timeout,
        },
    }


def _memory(promised: Contract) -> JsonObject | None:
    need = promised.memory
    if need is None:
        return None
    return {
        "weights": need.weights,
        "per_slot": need.per_slot,
        "overhead": need.overhead,
        "needed": need.needed(promised.engine_slots),
    }


def _bucket(bucket: Bucket) -> JsonObject:
    levels = bucket.slo
    return {
        "context": bucket.context,
        "output": bucket.output,
        "fixtures": [fixture.id for fixture in bucket.fixtures],
        "slo": {
            "ttft_p95": levels.ttft_p95,
            "itl_p95": levels.itl_p95,
            "e2e_p95": levels.e2e_p95,
            "errors": levels.errors,
        },
    }


def _title(promised: Contract) -> str:
    return f"{promised.name} v{promised.version} ({promised.hash[:8]}…)"


def _lines(promised: Contract) -> list[str]:
    from macfleet.model.quantity import show_seconds

    routes = [
        f"  route   {route.path}" + (" streaming" if route.stream else "") + (" usage" if route.usage else "")
        for route in promised.routes
    ]
    buckets = [_bucket_line(bucket, bucket.name == promised.primary) for bucket in promised.buckets]
    streams = ", ".join(str(each) for each in promised.concurrency)
    return [
        _title(promised),
        f"  model   {promised.model} · {promised.engine_slots} engine slots · concurrency {streams}",
        *routes,
        *buckets,
        *map(_tenant_line, promised.tenants),
        *_memory_lines(promised),
        f"  time    {show_seconds(promised.duration)} per arm and cell",
        f"  hash    {promised.hash}",
        f"  sent    {promised.sent_hash}",
    ]


def _tenant_line(tenant: Tenant) -> str:
    caps = (("{} in flight", tenant.in_flight), ("{} a minute", tenant.per_minute))
    shown = ", ".join(words.format(cap) for words, cap in caps if cap is not None)
    return f"  tenant  {tenant.name}: {f'at most {shown}' if shown else 'no cap'}"


def _memory_lines(promised: Contract) -> list[str]:
    from macfleet.model.quantity import show_bytes

    need = promised.memory
    if need is None:
        return []
    parts = (
        f"weights {show_bytes(need.weights)}, {show_bytes(need.per_slot)} a slot, {show_bytes(need.overhead)}"
    )
    return [f"  memory  {show_bytes(need.needed(promised.engine_slots))} an engine: {parts} besides"]


def _bucket_line(bucket: Bucket, is_primary: bool) -> str:
    from macfleet.model.quantity import show_seconds

    levels = bucket.slo
    named = (("TTFT", levels.ttft_p95), ("ITL", levels.itl_p95), ("end to end", levels.e2e_p95))
    shown = [f"{name} p95 {show_seconds(value)}" for name, value in named if value is not None]
    shown += [f"errors {levels.errors:.1%}"] if levels.errors is not None else []
    size = f"{bucket.context} → {bucket.output} tokens, {len(bucket.fixtures)} fixtures"
    return f"  bucket  {bucket.name}{' (primary)' if is_primary else ''}: {size} · {' · '.join(shown)}"


def _say(fleet: FleetContext, document: JsonObject, lines: list[str]) -> None:
    if fleet.output == "json":
        click.echo(json.dumps({"schema": 1, **document}, ensure_ascii=False))
    else:
        click.echo("\n".join(lines))


contract.add_command(generate)
contract.add_command(probe)
