"""`contract.yml` and the fixtures as a user writes them."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, JsonValue, field_validator, model_validator

from macfleet import documents
from macfleet.documents import Border

Count = Annotated[int, Field(strict=True, ge=1)]
Seconds = Annotated[documents.Seconds, Field(gt=0)]
Share = Annotated[documents.Share, Field(le=1)]
_NAME = r"^[a-z0-9][a-z0-9._-]{0,63}$"
Name = Annotated[str, Field(pattern=_NAME)]


class RouteModel(Border):
    """A promised route."""

    path: Annotated[str, Field(pattern=r"^/[^\s?#]*$", description="path below the base URL")]
    stream: Annotated[bool, Field(strict=True, description="answers as server-sent events")] = False
    usage: Annotated[bool, Field(strict=True, description="reports token usage, also when streaming")] = False


class ServedModel(Border):
    """The model behind the routes."""

    name: Annotated[str, Field(min_length=1, description="what requests call it")]
    weights: Annotated[str, Field(description="lock file that pins its files")] = "weights.lock"


class SloModel(Border):
    """Service levels of a bucket; a missing one is not promised."""

    ttft_p95: Annotated[Seconds | None, Field(description="time to first token, 95th percentile")] = None
    itl_p95: Annotated[Seconds | None, Field(description="time between tokens, 95th percentile")] = None
    e2e_p95: Annotated[Seconds | None, Field(description="send to last token, 95th percentile")] = None
    errors: Annotated[Share | None, Field(description="share of requests that may fail")] = None


class BucketModel(Border):
    """Fixtures of one context length."""

    context: Annotated[Count, Field(description="prompt length class in tokens")]
    output: Annotated[Count, Field(description="tokens each answer has")]
    fixtures: Annotated[str, Field(min_length=1, description="pattern of fixture files beside contract.yml")]
    slo: SloModel = SloModel()


class ClientModel(Border):
    """How every measurement talks to an endpoint."""

    keep_alive: Annotated[bool, Field(strict=True)] = True
    retries: Annotated[int, Field(strict=True)] = 0
    connect_timeout: Seconds = 2.0
    stall_timeout: Seconds = 30.0

    @field_validator("retries")
    @classmethod
    def _no_retries(cls, value: int) -> int:
        if value != 0:
            raise ValueError("retries must be 0: a hidden retry turns a sharp failure into a long tail")
        return value


class TenantModel(Border):
    """Somebody who uses the service, and the caps promised to the others; a missing one is none."""

    in_flight: Annotated[Count | None, Field(description="requests at the same time")] = None
    per_minute: Annotated[Count | None, Field(description="requests in a minute")] = None


class MemoryModel(Border):
    """What one engine is assumed to need; nodes whose Mac or VM has less are refused."""

    weights: Annotated[documents.Size, Field(ge=1, description="the model in memory, such as 5GiB")]
    per_slot: Annotated[documents.Size, Field(ge=0, description="cache of one decode slot")] = 0
    overhead: Annotated[documents.Size, Field(ge=0, description="everything else of the engine")] = 0


class ContractFile(Border):
    """The whole of `contract.yml`."""

    contract: Annotated[Name, Field(description="the contract's name")]
    version: Annotated[Count, Field(description="raised with every change of promise or fixture")]
    routes: Annotated[list[RouteModel], Field(min_length=1)]
    model: ServedModel
    engine_slots: Annotated[Count, Field(description="decode slots of the engine, equal in all arms")]
    concurrency: Annotated[list[Count], Field(min_length=1, description="requests kept in flight")]
    buckets: Annotated[dict[str, BucketModel], Field(min_length=1)]
    primary: Annotated[str, Field(description="bucket whose cells at concurrency 1 and 4 are judged")]
    client: ClientModel = ClientModel()
    duration: Annotated[Seconds, Field(description="measured time of each arm and cell")] = 1800.0
    nonce: Annotated[Literal["start"], Field(description="where the nonce goes")] = "start"
    tenants: Annotated[
        dict[str, TenantModel], Field(default_factory=dict, description="who uses it, with caps by name")
    ]
    memory: Annotated[MemoryModel | None, Field(description="memory assumed of an engine")] = None

    @field_validator("buckets")
    @classmethod
    def _usable_names(cls, value: dict[str, BucketModel]) -> dict[str, BucketModel]:
        for name in value:
            if not re.fullmatch(_NAME, name):
                raise ValueError(f'"{name}" cannot name a bucket: lowercase letters, digits and . _ -')
        return value

    @field_validator("tenants")
    @classmethod
    def _usable_tenants(cls, value: dict[str, TenantModel]) -> dict[str, TenantModel]:
        for name in value:
            if not re.fullmatch(_NAME, name):
                raise ValueError(f'"{name}" cannot name a tenant: lowercase letters, digits and . _ -')
        return value

    @field_validator("concurrency")
    @classmethod
    def _ascending(cls, value: list[int]) -> list[int]:
        if value != sorted(set(value)):
            raise ValueError("concurrency must rise without repeating")
        return value


class ExpectedTokens(Border):
    """Bounds of the tokens an answer has."""

    min: Count
    max: Count

    @model_validator(mode="after")
    def _in_order(self) -> ExpectedTokens:
        if self.min > self.max:
            raise ValueError(f"min {self.min} is above max {self.max}")
        return self


class FixtureFile(Border):
    """One fixture: a request body, verbatim, and what its answer must look like."""

    id: Name
    body: dict[str, JsonValue]
    expected_tokens: ExpectedTokens
