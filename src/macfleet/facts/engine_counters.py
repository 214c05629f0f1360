"""What an engine counts about itself, asked on the node where its load comes from."""

from __future__ import annotations

import re
from collections.abc import Mapping

from macfleet.model.shell import quote

_LINE = re.compile(r"^([A-Za-z_:][A-Za-z0-9_:]*)(?:\{.*\})?\s+([-+0-9.eE]+)(?:\s+\d+)?\s*$")
# Both engines that have counters, by what they call them; each name is that engine's own.
_NAMES = {
    "llamacpp:tokens_predicted_total": "generated",
    "llamacpp:prompt_tokens_total": "prompt",
    "llamacpp:requests_processing": "busy",
    "vllm:generation_tokens_total": "generated",
    "vllm:prompt_tokens_total": "prompt",
    "vllm:num_requests_running": "busy",
    "vllm:request_success_total": "requests",
}
_POLLS = 25
_BUSY = r"^(llamacpp:requests_processing|vllm:num_requests_running).* [0-9.]*[1-9]"


def counters_script(base_url: str) -> str:
    """Return POSIX sh that prints the engine's ``/metrics`` once it is idle, or after about 5 s as it is.

    An engine goes on for a moment with a request whose client hung up. One without the route prints nothing.
    """
    return f"""n=0
while text=$(curl -fsS -m 3 {quote(base_url + "/metrics")} 2>/dev/null); do
  n=$((n + 1))
  printf '%s\\n' "$text" | grep -Eq {quote(_BUSY)} && [ "$n" -lt {_POLLS} ] || break
  sleep 0.2
done
printf '%s\\n' "$text"
"""


def parse_counters(text: str) -> Mapping[str, float] | None:
    """Return ``generated`` and ``prompt`` tokens, ``requests`` served and ``busy``, as far as they are told.

    Rows of one name that differ in labels are summed. None when the text, which is untrusted, holds none.
    """
    found: dict[str, float] = {}
    for line in text.splitlines():
        match = _LINE.match(line)
        name = _NAMES.get(match.group(1)) if match else None
        if match is None or name is None:
            continue
        try:
            found[name] = found.get(name, 0.0) + float(match.group(2))
        except ValueError:
            continue
    return found or None
