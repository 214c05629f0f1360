"""Reads a contract folder: `contract.yml` and the fixtures its buckets name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from macfleet.contract.border import BucketModel, ContractFile, SloModel
from macfleet.contract.canonical import canonical_hash, sent_hash
from macfleet.contract.fixtures import Fixture, matching, parse_fixture
from macfleet.documents import Document, nearest, parse_yaml, validate
from macfleet.model.contract import Bucket, ClientDiscipline, Contract, MemoryNeed, Route, Slo, Tenant
from macfleet.model.diagnostic import Diagnostic, Location, MacfleetError
from macfleet.model.json import JsonObject
from macfleet.model.ports import Files

CONTRACT_FILE = "contract.yml"


@dataclass(frozen=True, slots=True)
class ContractFolder:
    """A contract with what freezing and comparing it need besides.

    Attributes:
        root: folder it was read from.
        promise: `contract.yml` as plain JSON.
        file: path of `contract.yml`; version_at: where its version stands.
    """

    contract: Contract
    root: str
    promise: JsonObject
    version_at: Location


def load_contract(files: Files, root: str = "contract") -> Contract:
    """Read and check a contract.

    Raises:
        MacfleetError: every problem of `contract.yml` and its fixtures, E07xx.
    """
    return load_folder(files, root).contract


def load_folder(files: Files, root: str = "contract") -> ContractFolder:
    """Read a contract together with its plain promise; raises as `load_contract`."""
    document = _read_promise(files, root)
    model = validate(document, ContractFile, code="E0703", kind="contract")
    found, problems = _read_fixtures(files, root, document, model)
    problems += _cross_check(document, model, found)
    if problems:
        raise MacfleetError(problems)
    promise = cast("JsonObject", document.value)
    try:
        contract = _assemble(model, promise, found, document.at("memory"))
    except ValueError as error:
        raise MacfleetError(_no_canonical_form(document, error)) from error
    return ContractFolder(contract, root, promise, document.value_at("version"))


def load_promise(files: Files, root: str = "contract") -> ContractFile:
    """Read `contract.yml` alone, its fixtures not (raises MacfleetError E0701, E0703)."""
    return validate(_read_promise(files, root), ContractFile, code="E0703", kind="contract")


def _read_promise(files: Files, root: str) -> Document:
    path = f"{root}/{CONTRACT_FILE}"
    try:
        return parse_yaml(files.read(path), path)
    except FileNotFoundError as error:
        raise MacfleetError(
            Diagnostic(
                "E0701",
                "there is no contract",
                why="Every stage and measurement is keyed by the contract's hash.",
                mend="Make a fleet folder with one: macfleet init DIR",
                where=Location(path),
            )
        ) from error


def _read_fixtures(
    files: Files, root: str, document: Document, model: ContractFile
) -> tuple[dict[str, list[Fixture]], list[Diagnostic]]:
    listed = {path.removeprefix(f"{root}/"): path for path in files.list(root)}
    found: dict[str, list[Fixture]] = {}
    problems: list[Diagnostic] = []
    for name, bucket in model.buckets.items():
        paths = matching(listed, bucket.fixtures)
        if not paths:
            problems.append(_no_fixture(document, name, bucket))
        found[name] = []
        for path in paths:
            try:
                found[name].append(parse_fixture(files.read(listed[path]), path, listed[path]))
            except MacfleetError as error:
                problems.extend(error.diagnostics)
    return found, problems


def _cross_check(
    document: Document, model: ContractFile, found: Mapping[str, Sequence[Fixture]]
) -> list[Diagnostic]:
    problems = []
    if model.primary not in model.buckets:
        guess = nearest(model.primary, model.buckets)
        mend = f'did you mean "{guess}"?' if guess else f"Buckets: {', '.join(sorted(model.buckets))}."
        summary = f'primary "{model.primary}" is not a bucket'
        problems.append(document.diagnose("E0705", summary, "primary", mend=mend, on_value=True))
    problems += _check_tenants(document, model)
    ids = Counter(fixture.body.id for fixtures in found.values() for fixture in fixtures)
    for name, fixtures in found.items():
        for fixture in fixtures:
            where = Location(f"{_folder(document)}/{fixture.path}")
            problems += _check_fixture(fixture, where, model, model.buckets[name], name, ids)
    return problems


def _check_tenants(document: Document, model: ContractFile) -> list[Diagnostic]:
    most = max(model.concurrency)
    return [
        document.diagnose(
            "E0676",
            f"tenant {name} may have {tenant.in_flight} requests in flight, at most {most} are measured",
            "tenants",
            name,
            "in_flight",
            why="A cap above the highest concurrency promises what no measurement shows.",
            mend="Lower the cap, or add the concurrency.",
            on_value=True,
        )
        for name, tenant in sorted(model.tenants.items())
        if tenant.in_flight is not None and tenant.in_flight > most
    ]


def _check_fixture(
    fixture: Fixture,
    where: Location,
    model: ContractFile,
    bucket: BucketModel,
    name: str,
    ids: Mapping[str, int],
) -> list[Diagnostic]:
    body = fixture.body.body
    asked = body.get("max_tokens", body.get("max_completion_tokens"))
    problems = []
    if ids[fixture.body.id] > 1:
        summary = f'fixture id "{fixture.body.id}" stands more than once'
        mend = "Give each fixture an id of its own; results are told apart by it."
        problems.append(Diagnostic("E0706", summary, where=where, mend=mend))
    if asked != bucket.output:
        problems.append(
            Diagnostic(
                "E0707",
                f"the body asks for {asked} tokens, bucket {name} promises {bucket.output}",
                why="Answers of different lengths cannot be compared between arms.",
                mend=f'Set "max_tokens": {bucket.output} in the body, or output: in the bucket.',
                where=where,
            )
        )
    if body.get("model") != model.model.name:
        summary = f"the body asks model {body.get('model')!r}, the contract promises {model.model.name!r}"
        mend = f'Set "model": "{model.model.name}" in the body.'
        problems.append(Diagnostic("E0708", summary, where=where, mend=mend))
    if not fixture.min_tokens <= bucket.output <= fixture.max_tokens:
        bounds = f"{fixture.min_tokens} to {fixture.max_tokens}"
        summary = f"expected_tokens {bounds} leave out the {bucket.output} tokens of bucket {name}"
        problems.append(Diagnostic("E0709", summary, where=where, mend="Widen the bounds."))
    return problems


def _assemble(
    model: ContractFile, promise: JsonObject, found: Mapping[str, Sequence[Fixture]], memory_at: Location
) -> Contract:
    fixtures = {fixture.path: fixture for each in found.values() for fixture in each}
    digest = canonical_hash(promise, {path: fixture.value for path, fixture in fixtures.items()})
    buckets = tuple(_bucket(name, model.buckets[name], found[name]) for name in sorted(found))
    client, memory = model.client, model.memory
    return Contract(
        name=model.contract,
        version=model.version,
        hash=digest,
        sent_hash=sent_hash(digest, buckets, model.concurrency),
        routes=tuple(Route(route.path, route.stream, route.usage) for route in model.routes),
        model=model.model.name,
        engine_slots=model.engine_slots,
        concurrency=tuple(model.concurrency),
        buckets=buckets,
        primary=model.primary,
        client=ClientDiscipline(client.keep_alive, client.connect_timeout, client.stall_timeout),
        duration=model.duration,
        fixture_hashes={path: fixtures[path].sha256 for path in sorted(fixtures)},
        tenants=tuple(
            Tenant(name, each.in_flight, each.per_minute) for name, each in sorted(model.tenants.items())
        ),
        memory=MemoryNeed(memory.weights, memory.per_slot, memory.overhead, memory_at) if memory else None,
    )


def _bucket(name: str, model: BucketModel, fixtures: Sequence[Fixture]) -> Bucket:
    bodies = tuple(sorted((fixture.body for fixture in fixtures), key=lambda body: body.id))
    return Bucket(name, model.context, model.output, _slo(model.slo), bodies)


def _slo(model: SloModel) -> Slo:
    return Slo(model.ttft_p95, model.itl_p95, model.e2e_p95, model.errors)


def _folder(document: Document) -> str:
    return document.file.removesuffix(f"/{CONTRACT_FILE}")


def _no_fixture(document: Document, name: str, bucket: BucketModel) -> Diagnostic:
    return document.diagnose(
        "E0710",
        f'no fixture matches "{bucket.fixtures}" of bucket {name}',
        "buckets",
        name,
        "fixtures",
        why="Patterns are relative to the contract's folder; * stays within one folder.",
        mend=f"Put at least one request there: {_folder(document)}/{bucket.fixtures}",
        on_value=True,
    )


def _no_canonical_form(document: Document, error: ValueError) -> Diagnostic:
    return document.diagnose(
        "E0711",
        f"contract or fixtures have no canonical form: {error}",
        why="RFC 8785 allows only numbers every JSON reader agrees on.",
        mend="Write integers beyond 2^53 as text; remove lone surrogates.",
    )
