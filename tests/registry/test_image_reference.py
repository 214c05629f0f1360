"""The reference grammar: what Docker means by a name, and nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from macfleet.model.reference import Reference

DIGEST = "sha256:" + "0a" * 32
HOSTS = st.sampled_from(
    [
        "registry.example",
        "registry.example:5000",
        "localhost",
        "localhost:1",
        "172.28.90.2:5000",
        "[::1]:5000",
    ]
)
WORD = st.from_regex(r"\A[a-z0-9]{1,8}\Z")
PATHS = st.lists(
    st.builds(
        lambda first, mark, last: first + mark + last,
        WORD,
        st.sampled_from([".", "_", "__", "-", "--", ""]),
        WORD,
    ),
    min_size=1,
    max_size=3,
).map("/".join)
TAGS = st.just("") | st.from_regex(r"\A[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}\Z")
DIGESTS = st.just("") | st.binary(min_size=32, max_size=32).map(lambda data: f"sha256:{data.hex()}")


@given(HOSTS, PATHS, TAGS, DIGESTS)
def test_what_is_put_together_is_taken_apart(host, path, tag, digest):
    built = Reference(host, path, tag, digest)
    assert Reference.parse(str(built)) == built
    assert built.is_pinned == bool(digest)


@given(st.text(alphabet="aA0.:/@-_[]é \n", max_size=30) | st.text(max_size=30))
def test_any_text_is_a_reference_or_a_value_error_and_reads_back(text):
    try:
        parsed = Reference.parse(text)
    except ValueError:
        return
    assert Reference.parse(str(parsed)) == parsed
    assert not any(each.isspace() for each in str(parsed))


@pytest.mark.parametrize(
    ("text", "registry", "path", "tag", "digest"),
    [
        ("debian", "docker.io", "library/debian", "", ""),
        ("debian:12", "docker.io", "library/debian", "12", ""),
        ("team/app", "docker.io", "team/app", "", ""),
        ("localhost/app:1", "localhost", "app", "1", ""),
        ("registry.example/app", "registry.example", "app", "", ""),
        ("registry.example:5000/a/b/c:v1.0_x", "registry.example:5000", "a/b/c", "v1.0_x", ""),
        (f"registry.example/app:v1@{DIGEST}", "registry.example", "app", "v1", DIGEST),
        (f"app@{DIGEST}", "docker.io", "library/app", "", DIGEST),
        ("REGISTRY.example/app", "registry.example", "app", "", ""),
    ],
)
def test_names_mean_what_docker_means(text, registry, path, tag, digest):
    assert Reference.parse(text) == Reference(registry, path, tag, digest)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not a repository"),
        ("registry.example/", "not a repository"),
        ("registry.example/App:1", "not a repository"),
        ("registry.example//app", "not a repository"),
        ("registry.example/app\n", "not a repository"),
        ("registry.example/a..b", "not a repository"),
        (f"registry.example/{'a' * 256}", "256 characters"),
        ("registry.example/app:", "not a tag"),
        ("registry.example/app:.x", "not a tag"),
        (f"registry.example/app:{'x' * 129}", "not a tag"),
        ("registry.example/app@", "not a digest"),
        ("registry.example/app@sha256:abc", "not a digest"),
        (f"registry.example/app@{DIGEST.upper()}", "not a digest"),
        (f"registry.example/app@{DIGEST}@{DIGEST}", "not a digest"),
        ("https://registry.example/app", "not a"),
        ("user@registry.example/app", "not a digest"),
        ("registry_example.:5000/app", "not a registry"),
        ("-registry.example/app", "not a registry"),
    ],
)
def test_what_is_not_a_reference_says_which_part(text, words):
    with pytest.raises(ValueError, match=words):
        Reference.parse(text)


def test_a_pin_drops_the_tag():
    parsed = Reference.parse("registry.example/app:v1")
    assert str(parsed.pinned_to(DIGEST)) == f"registry.example/app@{DIGEST}"
