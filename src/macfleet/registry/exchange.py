"""One request to a registry: who may see a password, where a redirect may lead, what an answer means."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import closing
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Annotated

import httpx
from pydantic import BaseModel, Field, ValidationError

from macfleet.registry import failures
from macfleet.registry.auth import Challenge, Credential, parse_challenge

_API_HOSTS = {"docker.io": "registry-1.docker.io"}
_REDIRECTS = 5
_TOKEN_LIMIT = 1024 * 1024
_TIMEOUT = httpx.Timeout(connect=10.0, read=30.0, write=30.0, pool=30.0)
# Bytes are wanted as they are: a compressed transfer could unpack to more than any limit.
_HEADERS = {"User-Agent": "macfleet", "Accept-Encoding": "identity"}


class PassingFailure(Exception):
    """A failure that may be gone at the next try.

    Attributes:
        after: seconds the registry asks to wait; None when it does not say.
    """

    def __init__(self, problem: str, after: float | None = None) -> None:
        super().__init__(problem)
        self.after = after


class Exchange:
    """Sends single requests; safe to share between threads.

    Args:
        plain_http: registries (host or host:port) that are spoken to without TLS, past any proxy.
        credentials: login by registry host.
    """

    def __init__(self, plain_http: Collection[str], credentials: Mapping[str, Credential]) -> None:
        self._plain = frozenset(plain_http)
        self._credentials = dict(credentials)
        self._authorization: dict[tuple[str, str], str] = {}
        trusted = httpx.create_ssl_context()  # costly to make, so both clients share it
        self._secure = httpx.Client(timeout=_TIMEOUT, headers=_HEADERS, verify=trusted)
        self._direct = httpx.Client(timeout=_TIMEOUT, headers=_HEADERS, verify=trusted, trust_env=False)

    def send(self, host: str, repository: str, path: str, headers: Mapping[str, str]) -> httpx.Response:
        """Return a successful response whose body is not read yet; the caller closes it.

        Raises:
            PassingFailure: connection trouble, 429 or 5xx.
            MacfleetError: E0602 missing, E0605 denied, E0607 another status, E0608 a refused redirect.
        """
        what = f"{host}/{repository} {path}"
        response = self._follow(host, repository, path, headers)
        if response.status_code == httpx.codes.UNAUTHORIZED:
            response.close()
            challenge = parse_challenge(response.headers.get_list("www-authenticate"))
            self._authorization[host, repository] = self._authorise(host, repository, challenge, what)
            response = self._follow(host, repository, path, headers)
        if response.is_success:
            return response
        response.close()
        raise _refusal(response, host, what)

    def close(self) -> None:
        """Close all connections."""
        self._secure.close()
        self._direct.close()

    def _follow(self, host: str, repository: str, path: str, headers: Mapping[str, str]) -> httpx.Response:
        """Follow redirects by hand: the login stays with the registry's own origin."""
        start = httpx.URL(f"{self._scheme(host)}://{_API_HOSTS.get(host, host)}/v2/{repository}/{path}")
        authorization = self._authorization.get((host, repository))
        url = start
        for _ in range(_REDIRECTS + 1):
            own = {"Authorization": authorization} if authorization and _same_origin(url, start) else {}
            response = self._get(url, {**headers, **own})
            location = response.headers.get("location")
            if not response.has_redirect_location or location is None:
                return response
            response.close()
            target = url.join(location)
            if target.scheme != "https" and (target.scheme != "http" or url.scheme != "http"):
                raise failures.unsafe_redirect(host, f"{target.scheme}://{target.host}")
            url = target
        raise failures.unsafe_redirect(host, f"a {_REDIRECTS + 1}th place, {url.host}")

    def _get(self, url: httpx.URL, headers: Mapping[str, str]) -> httpx.Response:
        client = self._direct if url.scheme == "http" else self._secure
        try:
            return client.send(client.build_request("GET", url, headers=headers), stream=True)
        except httpx.HTTPError as error:
            raise PassingFailure(str(error) or type(error).__name__) from error

    def _authorise(self, host: str, repository: str, challenge: Challenge | None, what: str) -> str:
        credential = self._credentials.get(host)
        if challenge is None:
            raise failures.denied(what, host, "it wants an authentication that is not Bearer or Basic")
        if challenge.scheme == "basic":
            if credential is None:
                raise failures.denied(what, host, "it wants a login and there is none")
            return credential.basic()
        return f"Bearer {self._token(host, repository, challenge, credential, what)}"

    def _token(
        self, host: str, repository: str, challenge: Challenge, credential: Credential | None, what: str
    ) -> str:
        realm = _url(challenge.realm)
        if realm is None or realm.scheme not in ("https", self._scheme(host)):
            raise failures.denied(what, host, f"its token service {challenge.realm!r} is not on HTTPS")
        if credential is not None and not credential.may_see(host, realm.netloc.decode("ascii")):
            raise failures.denied(
                what, host, f"its token service {realm.host} may not see your login; list it under realms:"
            )
        scope = challenge.scope or f"repository:{repository}:pull"
        asked = realm.copy_merge_params({"service": challenge.service, "scope": scope})
        login = {"Authorization": credential.basic()} if credential else {}
        with closing(self._get(asked, login)) as response:
            if not response.is_success:
                raise _refusal(response, host, f"a token for {what}")
            data = read_limited(response, _TOKEN_LIMIT, lambda: False)
        token = _token_in(data)
        if not token:
            raise failures.denied(what, host, "its token service answered without a usable token")
        return token

    def _scheme(self, host: str) -> str:
        return "http" if host in self._plain else "https"


def read_limited(response: httpx.Response, limit: int, is_late: Callable[[], bool]) -> bytes:
    """Return the body.

    Raises:
        ValueError: it is longer than `limit` bytes.
        PassingFailure: it broke off, or `is_late` said that time is up.
    """
    data = bytearray()
    try:
        for chunk in response.iter_raw():
            data += chunk
            if len(data) > limit:
                raise ValueError(f"it is larger than {limit} bytes")
            if is_late():
                raise PassingFailure("the answer trickles in too slowly")
    except httpx.HTTPError as error:
        raise PassingFailure(f"the answer broke off ({error})") from error
    return bytes(data)


def _refusal(response: httpx.Response, host: str, what: str) -> Exception:
    status = response.status_code
    if status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
        return failures.denied(what, host, f"status {status}")
    if status == httpx.codes.NOT_FOUND:
        return failures.missing(what)
    if status == httpx.codes.TOO_MANY_REQUESTS or status >= httpx.codes.INTERNAL_SERVER_ERROR:
        return PassingFailure(f"status {status}", _retry_after(response))
    return failures.malformed(what, f"the registry answered with status {status}")


def _retry_after(response: httpx.Response) -> float | None:
    """Read Retry-After: seconds, or a date, which is measured against the response's own Date."""
    text = response.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        until = parsedate_to_datetime(text)
        sent = parsedate_to_datetime(response.headers["date"]) if "date" in response.headers else None
        return max(0.0, (until - (sent or datetime.now(UTC))).total_seconds())
    except (ValueError, TypeError):
        return None


class _Token(BaseModel):
    token: Annotated[str, Field(pattern=r"^[!-~]*$")] = ""
    access_token: Annotated[str, Field(pattern=r"^[!-~]*$")] = ""


def _token_in(data: bytes) -> str:
    try:
        answer = _Token.model_validate_json(data)
    except ValidationError:
        return ""
    return answer.token or answer.access_token


def _url(text: str) -> httpx.URL | None:
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL:
        return None
    return url if url.host else None


def _same_origin(one: httpx.URL, other: httpx.URL) -> bool:
    return (one.scheme, one.host, one.port) == (other.scheme, other.host, other.port)
