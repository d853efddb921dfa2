"""Files are written whole or not at all, and never read unchecked."""

import contextlib
import json
from dataclasses import replace
from pathlib import Path

import pytest

from luckmatters.artefacts import Bundle, parse_seeds, seed_label, write
from luckmatters.errors import UserError


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    made = Bundle(tmp_path / "runs" / "one", recipe="run it again")
    made.save({"table.parquet": b"0123456789", "tensors.safetensors": b"abc"}, {"seeds": [0]})
    return made


def test_a_bundle_returns_what_was_saved(bundle: Bundle) -> None:
    assert bundle.read("table.parquet") == b"0123456789"
    assert bundle.manifest()["seeds"] == [0]
    assert sorted(path.name for path in bundle.folder.iterdir()) == ["run.json", "table.parquet", "tensors.safetensors"]


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda path: path.write_bytes(b"01234"), "truncated or altered"),
        (lambda path: path.write_bytes(b"0123456780"), "truncated or altered"),
        (lambda path: path.write_bytes(b""), "truncated or altered"),
        (lambda path: path.unlink(), "cannot be read"),
    ],
)
def test_a_damaged_file_is_noticed_and_the_rule_is_named(bundle: Bundle, damage, words: str) -> None:
    damage(bundle.folder / "table.parquet")
    with pytest.raises(UserError, match=rf"table.parquet: .*{words}.*run it again") as error:
        bundle.read("table.parquet")
    assert "\n" not in str(error.value)
    assert bundle.read("tensors.safetensors") == b"abc"


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b"null", b"1", b'"a"', b"\xff", b"[" * 100_000])
@pytest.mark.parametrize("kept", [False, True])
def test_a_damaged_manifest_is_one_line(bundle: Bundle, content: bytes, kept: bool) -> None:
    (bundle.folder / "run.json").write_bytes(content)
    with pytest.raises(UserError, match=r"run.json: is damaged.*run it again") as error:
        replace(bundle, kept=kept).read("table.parquet")
    assert "\n" not in str(error.value)


def test_any_flipped_bit_that_changes_a_manifest_is_noticed(bundle: Bundle) -> None:
    path = bundle.folder / "run.json"
    content, fields = path.read_bytes(), bundle.manifest()
    for bit in range(8 * len(content)):
        altered = bytearray(content)
        altered[bit // 8] ^= 1 << bit % 8
        path.write_bytes(altered)
        found = None
        with contextlib.suppress(UserError):
            found = bundle.manifest()
        assert found in (None, fields)  # the same as between two kinds of white space


@pytest.mark.parametrize("key", ["seeds", "files", "checksum"])
@pytest.mark.parametrize("change", [lambda fields, key: fields.pop(key), lambda fields, key: fields.update({key: 7})])
def test_a_manifest_without_a_field_or_with_another_value_is_damaged(bundle: Bundle, key: str, change) -> None:
    path = bundle.folder / "run.json"
    fields = json.loads(path.read_text())
    change(fields, key)
    path.write_text(json.dumps(fields))
    with pytest.raises(UserError, match=r"run.json: is damaged; delete .*; run it again$"):
        bundle.manifest()


def test_a_committed_manifest_may_lack_a_checksum_but_not_the_keys_asked_for(bundle: Bundle) -> None:
    path, kept = bundle.folder / "run.json", replace(bundle, kept=True)
    fields = json.loads(path.read_text())
    path.write_text(json.dumps({**fields, "seeds": [1]}))
    with pytest.raises(UserError, match="is damaged; git restore"):
        kept.manifest()
    del fields["checksum"]
    path.write_text(json.dumps(fields))
    assert kept.manifest("seeds")["seeds"] == [0]
    with pytest.raises(UserError, match="is damaged; git restore"):
        kept.manifest("seconds")


def test_fields_are_read_as_they_were_written(bundle: Bundle) -> None:
    """Numbers as keys become text, which sorts differently, and some numbers are no JSON."""
    bundle.save({}, {"by_epoch": {2: 0.1, 10: 1e-17, 1: float("inf")}, "name": "ρ", "seeds": (0, 1)})
    found = bundle.manifest()
    assert found == {
        "by_epoch": {"2": 0.1, "10": 1e-17, "1": float("inf")}, "name": "ρ", "seeds": [0, 1], "files": {}
    }  # fmt: skip


def test_a_file_missing_from_the_manifest_is_refused(bundle: Bundle) -> None:
    bundle.save({"tensors.safetensors": b"abc"}, {"seeds": [0]})
    with pytest.raises(UserError, match=r"table.parquet: is truncated or altered"):
        bundle.read("table.parquet")


def test_a_path_that_cannot_be_written_gives_a_one_line_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(UserError, match=r"cannot be written.*config/config.yaml") as error:
        write(tmp_path / "file" / "table.csv", b"1")
    assert "\n" not in str(error.value)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "table.csv"
    write(path, b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(UserError, match=r"No space left on device"):
        write(path, b"new")
    assert [file.name for file in tmp_path.iterdir()] == ["table.csv"]
    assert path.read_bytes() == b"old"


@pytest.mark.parametrize("seeds", [[0], [0, 1, 2], [3, 4], [0, 2], [5, 3, 9]])
def test_seed_labels_return_the_seeds(seeds: list[int]) -> None:
    assert parse_seeds(seed_label(seeds)) == seeds


@pytest.mark.parametrize("label", ["", "3-1", "1,2", "a", "1+", "-1", "1-2-3", "0+0"])
def test_malformed_seed_labels_are_refused(label: str) -> None:
    with pytest.raises(UserError, match=r"--seeds"):
        parse_seeds(label)
