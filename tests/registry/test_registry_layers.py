"""What layers hold: native programs, weights, packages; and every layer that cannot be looked into."""

import gzip
import io
import json
import struct
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st
from image_pusher import layer, sha256

from macfleet.cli.fleet import FleetContext
from macfleet.cli.image_rules import image_rules
from macfleet.cli.main import main
from macfleet.contract.images import load_images_lock
from macfleet.facts.image_contents import (
    all_packages,
    contents_faults,
    contents_words,
    program_architecture,
    system_name,
)
from macfleet.model.diagnostic import MacfleetError
from macfleet.model.image import Blob
from macfleet.registry import RegistryResolver
from macfleet.registry.layers import LayerInspector, inspect_layer
from macfleet.sources.disk import DiskFiles
from macfleet.sources.layer_reports import LayerReports
from macfleet.sources.starts import ColdStart, ColdStarts

MIB = 2**20


def elf(machine=183, kind=3, order="<"):
    head = b"\x7fELF" + bytes([2, 1 if order == "<" else 2, 1]) + bytes(9)
    return head + struct.pack(f"{order}HH", kind, machine) + bytes(200)


def looked_into(packed, plain_digest, pieces=1000):
    chunks = [packed[start : start + pieces] for start in range(0, len(packed), pieces)]
    return inspect_layer(iter(chunks), Blob(sha256(packed), len(packed)), plain_digest)


def inspected(files, **kinds):
    plain_digest, packed = layer(files)
    return looked_into(packed, plain_digest, **kinds)


DPKG = b"Package: a\nStatus: install ok installed\n\nPackage: b\nStatus: deinstall ok config-files\n"
APK = b"C:Q1\nP:musl\nV:1\n\nP:busybox\n"


def test_programs_weights_and_packages_are_counted():
    found = inspected(
        {
            "usr/lib/libggml.so": elf(),
            "./usr/bin/tool": elf(machine=62, kind=2),
            "usr/lib/module.o": elf(machine=62, kind=1),
            "models/small.gguf": b"GGUF" + bytes(2 * MIB),
            "models/vocabulary.gguf": b"GGUF" + bytes(1000),
            "var/lib/dpkg/status": DPKG,
            "lib/apk/db/installed": APK,
            "etc/hosts": b"",
        }
    )
    assert found.files == 8
    assert found.programs == {"arm64": 1, "amd64": 1}
    assert found.weights == ("models/small.gguf (GGUF, 2.0 MiB)",)
    assert found.packages == {"dpkg": 1, "apk": 2}
    short = found.digest[:19]
    weights, programs = contents_faults("linux/arm64", [found])
    assert weights.startswith(f"layer {short} holds weights: models/small.gguf (GGUF, 2.0 MiB); ")
    assert programs == f"layer {short} holds 1 programs for amd64, not arm64: usr/bin/tool"


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.safetensors", struct.pack("<Q", 60) + b'{"a"' + bytes(2 * MIB), "a.safetensors (safetensors, 2.0 MiB)"),
        ("pytorch_model.bin", b"PK\x03\x04" + bytes(26) + b"archive/data.pkl" + bytes(2 * MIB), "pytorch_model.bin (PyTorch, "),
        ("renamed.so", b"GGUF" + bytes(MIB), "renamed.so (GGUF, "),
    ],
)  # fmt: skip
def test_weights_are_known_by_content(name, content, words):
    (found,) = inspected({name: content}).weights
    assert found.startswith(words)


def test_an_image_of_its_own_architecture_has_no_fault():
    layers = [inspected({"bin/a": elf(), "b": elf()}), inspected({"var/lib/dpkg/status": DPKG})]
    assert list(contents_faults("linux/arm64", layers)) == []
    assert contents_words(layers).endswith("3 files · 1 dpkg packages · programs for arm64")


def test_packages_of_distroless_layers_add_up_and_a_later_database_replaces_an_earlier():
    parts = [
        inspected(
            {"var/lib/dpkg/status.d/base": b"Package: base\n", "var/lib/dpkg/status.d/base.md5sums": b"x"}
        ),
        inspected({"var/lib/dpkg/status.d/tls": b"Package: tls\n"}),
    ]
    assert "2 dpkg packages" in contents_words(parts)
    twice = [inspected({"lib/apk/db/installed": APK}), inspected({"lib/apk/db/installed": b"P:musl\n"})]
    assert "1 apk packages" in contents_words(twice)


def test_programs_of_another_architecture_are_allowed_by_path_alone():
    few = inspected({f"opt/firmware/{number}": elf(machine=40) for number in range(3)})
    assert list(contents_faults("linux/arm64", [few], ["opt/firmware/*"])) == []
    assert len(list(contents_faults("linux/arm64", [few], ["opt/other/*"]))) == 1
    many = inspected({f"opt/firmware/{number}": elf(machine=40) for number in range(9)})
    assert len(list(contents_faults("linux/arm64", [many], ["opt/firmware/*"]))) == 1


@pytest.mark.parametrize(
    ("head", "architecture"),
    [
        (elf(), "arm64"),
        (elf(machine=62, kind=2), "amd64"),
        (elf(machine=22, order=">"), "s390x"),
        (elf(machine=183, order=">"), "arm64 (big-endian)"),
        (elf(machine=9999), "ELF machine 9999"),
        (elf(kind=1), ""),
        (b"\x7fELF", ""),
        (b"#!/bin/sh\n" + bytes(40), ""),
    ],
)
def test_an_elf_header_says_what_it_runs_on(head, architecture):
    assert program_architecture(head) == architecture


def test_plain_layers_and_gzip_of_several_members_are_read():
    digest, packed = layer({"bin/a": elf(), "zeros": bytes(3 * MIB)})
    plain = gzip.decompress(packed)
    half = len(plain) // 2
    members = gzip.compress(plain[:half]) + gzip.compress(plain[half:])
    for data in (plain, members):
        assert looked_into(data, digest, pieces=777).programs == {"arm64": 1}


def refusal(packed, digest):
    with pytest.raises(MacfleetError) as caught:
        looked_into(packed, digest)
    (diagnostic,) = caught.value.diagnostics
    return diagnostic


def test_what_cannot_be_looked_into_is_refused_in_words():
    digest, packed = layer({"a": bytes(range(256)) * 400})
    assert refusal(packed, sha256(b"other")).code == "E0604"
    cases = {
        b"\x28\xb5\x2f\xfd" + bytes(99): "zstd",
        packed[: len(packed) // 2]: "ends amid",
        packed[:40] + b"\xff" * 40 + packed[80:]: "",
        b"no tar at all" * 100: "",
        b"": "",
    }
    for data, words in cases.items():
        found = refusal(data, digest)
        assert (found.code, words in found.summary) == ("E0670", True)


def test_a_tar_cut_amid_a_file_is_refused():
    plain = gzip.decompress(layer({"a": bytes(5000)})[1])[:2000]
    assert refusal(gzip.compress(plain), sha256(plain)).code == "E0670"


@given(st.binary(max_size=2000))
def test_any_bytes_are_a_report_or_a_refusal(data):
    try:
        code = "" if looked_into(gzip.compress(data), sha256(data)) else "none"
    except MacfleetError as error:
        code = error.diagnostics[0].code
    assert code in ("", "E0670")


def test_a_name_that_leaves_the_layer_is_only_a_name():
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        entry = tarfile.TarInfo("../../etc/passwd")
        entry.size = 4
        archive.addfile(entry, io.BytesIO(b"root"))
    assert looked_into(buffer.getvalue(), sha256(buffer.getvalue())).files == 1


def test_a_layer_is_read_once_and_its_report_kept(pusher, clock, tmp_path):
    parts = [layer({"bin/a": elf()}), layer({"bin/b": elf()})]
    manifest = pusher.image("engine", layers=parts)
    resolver = RegistryResolver(clock=clock, plain_http=[pusher.host])
    image = resolver.resolve(f"{pusher.host}/engine@{sha256(manifest)}", "linux/arm64")
    first = LayerInspector(resolver, LayerReports(tmp_path / "kept")).contents(image)
    resolver.close()
    nowhere = RegistryResolver(clock=clock, plain_http=["127.0.0.1:1"])
    assert LayerInspector(nowhere, LayerReports(tmp_path / "kept")).contents(image) == first
    nowhere.close()
    assert [each.programs for each in first] == [{"arm64": 1}, {"arm64": 1}]


def test_the_command_names_every_fault_and_exits_7(pusher, registry, tmp_path, capsys):
    pusher.image("mixed", tag="v1", layers=[layer({"bin/a": elf(machine=62), "bin/b": elf()})])
    (tmp_path / "macfleet.yml").write_text("name: test\n")
    (tmp_path / "inventory").mkdir()
    (tmp_path / "inventory/hosts.yml").write_text("all: {hosts: {mac-01: {ansible_host: 203.0.113.1}}}\n")
    (tmp_path / "images.yml").write_text(
        f"images:\n  engine: {{reference: '{registry}/mixed:v1', platforms: [linux/arm64]}}\n"
        f"registries:\n  '{registry}': {{plain_http: true}}\n"
    )

    def macfleet(*arguments):
        with pytest.raises(SystemExit) as ended:
            main([*arguments, "--fleet", str(tmp_path)])
        told = capsys.readouterr()
        return ended.value.code, told.out, told.err

    assert macfleet("image", "pin")[0] == 0
    code, out, err = macfleet("image", "inspect")
    assert (code, out.startswith("✗ engine linux/arm64  ")) == (7, True)
    assert "E0672" in err
    assert "1 programs for amd64, not arm64: bin/a" in " ".join(err.split())
    code, out, _ = macfleet("image", "inspect", "engine", "--allow", "bin/a", "--output", "json")
    document = json.loads(out)
    assert (code, document["images"][0]["layers"][0]["programs"]) == (0, {"amd64": 1, "arm64": 1})
    manifest = document["images"][0]["manifest"]
    ColdStarts(tmp_path / ".macfleet" / "starts").keep(manifest, {"mac-01": ColdStart(12, 0.0)})
    assert " · ready after 12 s on mac-01\n" in macfleet("image", "inspect")[1]
    lock = load_images_lock(DiskFiles(tmp_path))
    (faults,) = image_rules(FleetContext(tmp_path), [lock]).contents.values()
    assert "1 programs for amd64, not arm64: bin/a" in faults[0]  # what stage 2 holds
    images = tmp_path / "images.yml"
    images.write_text(images.read_text() + "policy: {allow: [bin/a]}\n")
    assert macfleet("image", "inspect")[0] == 0
    assert list(image_rules(FleetContext(tmp_path), [lock]).contents.values()) == [()]
    code, _, err = macfleet("image", "inspect", "engin")
    assert (code, "E0671" in err, 'did you mean "engine"?' in err) == (2, True, True)


def test_packages_are_those_of_the_last_layer_with_their_database():
    older = inspected({"var/lib/dpkg/status": DPKG, "usr/lib/os-release": b"ID=debian\nVERSION_ID=12\n"})
    newer = inspected({"var/lib/dpkg/status": DPKG.replace(b"Package: a", b"Package: c"), "etc/hosts": b""})
    assert [each.name for each in all_packages([older])] == ["a"]
    assert [each.name for each in all_packages([older, newer])] == ["c"]
    assert [each.name for each in all_packages([older, inspected({"etc/hosts": b""})])] == ["a"]
    assert (system_name([older, newer]), system_name([newer])) == ("debian 12", "")
