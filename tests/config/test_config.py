"""Every fault in a configuration file is one line that names the file, the key and what is allowed."""

import hashlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from conftest import ROOT

from luckmatters import kinds
from luckmatters.config import Project
from luckmatters.config.files import read_yaml
from luckmatters.config.merging import merge
from luckmatters.errors import UserError
from luckmatters.settings.experiment import config_hash, teacher_hash

SCALES = ("ci", "laptop", "paper")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A private copy of the configuration, and of the published curves that it names."""
    for part in ("config", "data/published"):
        shutil.copytree(ROOT / part, tmp_path / part)
    return tmp_path


@pytest.mark.parametrize("scale", SCALES)
def test_the_committed_configuration_is_valid_at_every_scale(scale: str) -> None:
    project = Project(ROOT, scale=scale)
    assert project.scale_name == scale
    assert all(project.variants(name) for name in project.experiments)


def test_every_claim_and_experiment_is_linked_both_ways() -> None:
    project = Project(ROOT)
    for name, claim in project.claims.items():
        for experiment in claim.experiments:
            assert name in project.experiments[experiment].claims, f"{experiment}.yaml does not list claim {name}"
    for name, experiment in project.experiments.items():
        for claim in experiment.claims:
            assert name in project.claims[claim].experiments, f"claims.yaml: {claim} does not name {name}"


def test_every_experiment_says_what_each_smaller_scale_reduces() -> None:
    for path in (ROOT / "config" / "experiments").glob("*.yaml"):
        content = yaml.safe_load(path.read_text())
        as_it_is = kinds.registry()[content["kind"]].verb in ("measure", "extract")
        assert as_it_is or {"ci", "laptop"} <= set(content["scales"]), path.name


def edit(root: Path, file: str, old: str, new: str) -> None:
    text = (root / file).read_text()
    assert old in text
    (root / file).write_text(text.replace(old, new, 1))


GAUS, SCALE = "config/experiments/gaus-fc.yaml", "config/scales/laptop.yaml"
MODULATION, LUCK = "config/experiments/modulation.yaml", "config/experiments/luck-speed.yaml"
OVER = "config/experiments/over-param.yaml"
PROFILE = "config/experiments/rank-profile.yaml"
CURVES, SPARSITY = "config/experiments/lottery-curves.yaml", "config/experiments/lottery-sparsity.yaml"
FAULTS = [
    (GAUS, "  epochs: 40", "  epoch: 40", r"training.epoch: unknown key \(did you mean 'epochs'"),
    (GAUS, "question:", "qestion:", r"gaus-fc.yaml: key: unknown name 'qestion' \(did you mean 'question'"),
    (GAUS, "kind: student-training", "kind: student", r"kind: unknown name 'student' .*allowed: .*student-training"),
    (GAUS, "multiplier: 10", "multiplier: 0", r"student.multiplier: must be greater than 0, got 0"),
    (GAUS, "multiplier: 10", "multiplier: ten", r"student.multiplier: must be a valid integer, got 'ten'"),
    (GAUS, "std: 10.0", "std: -1.0", r"data.std: must be greater than 0, got -1.0"),
    (GAUS, "rate: 0.1}]", "rate: 0.1}, {epoch: 0, rate: 0.2}]", r"learning_rate: a schedule starts at epoch 0"),
    (GAUS, "{epoch: 0, rate: 0.1}", "{epoch: 1, rate: 0.1}", r"learning_rate: a schedule starts at epoch 0"),
    (GAUS, "rate: 0.1}]", "rate: 0.1}, {epoch: 99, rate: 0.2}]", r"epoch 99 lies after the last one, 6"),
    (GAUS, "snapshots: []", "snapshots: [7]", r"training: epoch 7 lies after the last one, 6"),
    (GAUS, "    seeds: 3", "    seeds: []", r"seeds: must be a number of seeds"),
    (GAUS, "    seeds: 3", "    seeds: 0", r"seeds: must be a number of seeds"),
    (GAUS, "    seeds: 3", "    seeds: [1, 1]", r"seeds: must be a number of seeds, 1 or more, or a list of different"),
    (GAUS, "    seeds: 3", "    seeds: [-1]", r"seeds: must be a number of seeds"),
    (GAUS, "name: gaus-fc-large", "name: gaus-fc-lrage", r"teacher.name: unknown name 'gaus-fc-lrage'"),
    (GAUS, "seed: 0}", "seed: 32}", r"teacher seed 32 is needed.*count is 32"),
    (GAUS, "layout: overlap-curves", "layout: overlap", r"figure.layout: unknown name 'overlap'.*allowed"),
    (GAUS, "{bn: gaus-fc-bn.csv}", "{bn: nothing.csv}", r"figure.published.bn: unknown name 'nothing.csv'"),
    (GAUS, "{bn: gaus-fc-bn.csv}", "{bnn: gaus-fc-bn.csv}", r"figure.published: unknown name 'bnn'"),
    (GAUS, "  batch-norm:\n", "  seed:\n", r"grid.seed: is a column of the tables"),
    ("config/experiments/teacher-size.yaml", "low-first,", "low-frist,",
     r"low-first: is listed by no experiment, and \S+/teacher-size.yaml: claims has low-frist instead"),
    ("config/experiments/teacher-size.yaml", "[recovery,", "[recovry,", r"claims: unknown name 'recovry'"),
    (GAUS, "  laptop:", "  labtop:", r"gaus-fc.yaml: scales: unknown name 'labtop' \(did you mean 'laptop'"),
    (GAUS, "reduced: 6 epochs", "reduce: 6 epochs", r"scales.laptop.reduced: missing"),
    (GAUS, "published_as:", "question:", r"line 2: not valid YAML \(key 'question' stands in line 1 already\)"),
    ("config/claims.yaml", "\npandoras-box:", "\nrecovery:", r"line 104: .*key 'recovery' stands in line 16 already"),
    (GAUS, "grid:", "grid: [", r"gaus-fc.yaml: line \d+: not valid YAML"),
    ("config/experiments/teacher-size.yaml", "run: gaus-fc/bn", "run: gaus-fc/nb", r"includes: unknown name 'nb'"),
    ("config/experiments/teacher-size.yaml", "run: gaus-fc/bn", "run: gaus/bn", r"includes: unknown name 'gaus'"),
    (PROFILE, "no-bn: {source: gaus-fc/no-bn}", "no-bn: {source: nothing/bn}", r"source: unknown name"),
    (PROFILE, "no-bn: {source: gaus-fc/no-bn}", "no-bn: {source: two-nodes/matrix}", r"two-nodes is of kind two"),
    (CURVES, "x3: null", "x4: null", r"scales.ci.grid.\w+: unknown name 'x4'"),
    (OVER, "      multiplier:\n        m2:", "      multi:\n        m2:", r"grid: unknown name 'multi'"),
    (MODULATION, "source: gaus-fc-small/base", "source: gaus-fc/bn", r"has BatchNorm or convolutions"),
    (MODULATION, "samples: 1024", "samples: 9000", r"samples: 9000 are more than the 8192 that gaus-fc-small/base"),
    (MODULATION, "figure:", "grid: {a: {x: {}, y: {}}}\nfigure:", r"layout: modulation draws one variant, got 2"),
    (LUCK, "snapshots: []", "snapshots: [1]", r"kind luck-speed learns from the teacher and keeps no snapshots"),
    (PROFILE, "no-bn: {source: gaus-fc/no-bn}", "no-bn: {source: gaus-fc/x}", r"gaus-fc: unknown name 'x'"),
    ("config/experiments/over-param.yaml", "rows: batch-norm", "rows: norm", r"figure.rows: unknown name 'norm'"),
    ("config/teachers.yaml", "widths: [50, 75, 100, 125]", "widths: [50, -75]", r"large: widths.1: must be greater"),
    (GAUS, "layout: overlap-curves", "layout: rank-profile", r"layout: rank-profile draws the kind rank-profile"),
    (GAUS, "layout: overlap-curves", "layout: overlap-grid", r"figure.columns: missing; layout overlap-grid needs it"),
    (GAUS, "std: 10.0", "std: .inf", r"data.std: must be a finite number, got inf"),
    (GAUS, "kind: gaus,", "kind: gauss,", r"data.kind: must be 'gaus' or 'cifar10', got 'gauss'"),
    (GAUS, "kind: gaus, ", "", r"data.kind: missing"),
    (GAUS, "std: 10.0, ", "", r"data.std: missing"),
    (GAUS, "std: 10.0, ", "stt: 10.0, ", r"data.stt: unknown key .*, finite \(and 1 more fault\)$"),
    (GAUS, "std: 10.0, ", "stt: 10.0, evaluation: 3, ", r"\(and 2 more faults\)$"),
    (GAUS, "bn: {student: {batch_norm: true}}", "bn: {}", r"variants no-bn and bn have the same settings and seeds"),
    ("config/experiments/teacher-size.yaml", "gaus-fc/bn,", "gaus-fc/no-bn,",
     r"variants large-no-bn and large-bn have the same settings"),
    ("config/claims.yaml", "\nrecovery:", "\nrecoveries:",
     r"claims.yaml: recoveries: is listed by no experiment, and \S+/\S+.yaml: claims has recovery instead"),
    (GAUS, "infinite: true", "infinte: true", r"data.infinte: unknown key \(did you mean 'infinite'"),
    (GAUS, "kind: gaus, std: 10.0, samples_per_epoch: 100000, infinite: true",
     "kind: cifar10, samples_per_epoch: 100000, augment: true", r"CIFAR-10 needs inputs \[3, 32, 32\]"),
    (GAUS, "figure:", "adjust: {nb: {}}\nfigure:", r"adjust: unknown name 'nb'"),
    (GAUS, "figure:", "skip: [nb]\nfigure:", r"skip: unknown name 'nb'"),
    (GAUS, "samples_per_epoch: 100000", "samples_per_epoch: 65", r"one sample, which BatchNorm cannot normalize"),
    (GAUS, "question: Do", "question: \x07Do", r"gaus-fc.yaml: not valid YAML"),
    ("config/experiments/teacher-size.yaml", "teacher: large, batch-norm: bn", "teacher: small, batch-norm: bn",
     r"variant small-bn is there already"),
    ("config/claims.yaml", "threshold: 0.997", "threshold: .nan", r"threshold: must be a finite number"),
    ("config/teachers.yaml", "inputs: 20", "inputs: 1", r"50 separated nodes cannot all differ with 1 inputs"),
    ("config/teachers.yaml", "  init: separated", "  init: seperated", r"init: must be 'separated', 'no_sep' or 'tr"),
    ("config/teachers.yaml", "  init: separated", "  init: trained", r"init trained and the key learning go"),
    ("config/teachers.yaml", "  count: 32", "  count: 32\n  batch_norm: true", r"batch_norm needs init trained"),
    ("config/teachers.yaml", "  published_accuracy: 0.5495", "  bias: 1.0",
     r"cifar-fc: bias is of random teachers; drop it"),
    ("config/teachers.yaml", "}, epochs: 16,", "}, epochs: 16, momentum: 1.0,",
     r"momentum: must be less than 1, got 1.0"),
    ("config/teachers.yaml", "}, epochs: 16,", "}, epochs: 16, precision: bfloat16,",
     r"cifar-fc.*precision bfloat16 is for convolutions"),
    ("config/teachers.yaml", "  count: 1\n  learning:\n", "  count: 1\n  learning:\n    readout_scale: 0\n",
     r"cifar-fc: learning.readout_scale: must be greater than 0, got 0"),
    ("config/teachers.yaml", "  batch_norm: true\n  published_accuracy: 0.5495\n  count: 1\n  learning:\n",
     "  count: 1\n  learning:\n    readout_scale: 0.1\n", r"readout_scale is of BatchNorm.*batch_norm: true"),
    ("config/teachers.yaml", "}, epochs: 16,", "}, epochs: 16, precision: float16,",
     r"precision: must be 'bfloat16'"),
    ("config/teachers.yaml", "inputs: [1, 16, 16]", "inputs: [1, 16, 8]", r"convolutions need square images"),
    ("config/teachers.yaml", "inputs: [1, 16, 16]", "inputs: [1, 8, 8]", r"leave nothing of an image of 8"),
    ("config/teachers.yaml", "inputs: [3, 32, 32]", "inputs: [3, 16, 16]", r"cifar-fc: CIFAR-10 needs inputs"),
    ("config/teachers.yaml", "reduced: 16 epochs", "reduce: 16 epochs", r"scales.laptop.reduced: missing"),
    ("config/config.yaml", "  source: auto", "  source: web", r"cifar10.source: must be 'auto', 'torchvision', 'root'"),
    (SCALE, "cifar10_limit: null", "cifar10_limit: 5", r"cifar10_limit: must be greater than or equal to 10, got 5"),
    ("config/claims.yaml", "experiments: [teacher-size,", "experiments: [teachersize,", r"experiments: unknown"),
    ("config/claims.yaml", "      reason:", "      reson:", r"claims.yaml: recovery: checks.grows.reson: unknown key"),
    (CURVES, "early_epoch: 1", "early_epoch: 2", r"early_epoch: lottery-dense/base keeps no epoch 2; add it to"),
    (CURVES, "x2: {pruning: {kept: 2.0}}", "x2: {pruning: {kept: 11.0}}", r"pruning.kept: must .*10 at most, got 11"),
    (CURVES, "x2: {pruning: {kept: 2.0}}", "x2: {pruning: {kept: 0.01}}", r"pruning.kept: must leave a node in each"),
    (CURVES, "x2: {pruning: {kept: 2.0}}", "x2: {pruning: {kept: 0.0}}", r"pruning.kept: must be greater than 0"),
    (CURVES, "criterion: contribution", "criterion: weight", r"pruning.criterion: must be 'magnitude', 'magnitude-ov"),
    (CURVES, "granularity: nodes", "granularity: layers", r"pruning.granularity: must be 'nodes' or 'weights'"),
    (CURVES, "rounds: 1", "rounds: 0", r"pruning.rounds: must be greater than 0"),
    (CURVES, "early_epoch: 1\n", "", r"early_epoch: missing, and the branch early needs it"),
    (CURVES, "branches: [rewound, early,", "branches: [rewound, rewound,", r"branches: each may stand but once"),
    (CURVES, "branches: [rewound, early,", "branches: [rewind, early,", r"branches.0: must be 'rewound', 'early'"),
    (CURVES, "branches: [rewound, early,", "branches: [dense, early,", r"branches: dense needs pruning.kept 10, where"),
    (CURVES, "branches: [dense, reinitialized]", "branches: [untrained]", r"branches: one at least must train"),
    (CURVES, "source: lottery-dense/base", "source: lottery-luck/magnitude-x1", r"lottery-luck is of kind lottery"),
    (CURVES, "layout: lottery-curves", "layout: overlap-curves", r"overlap-curves draws the kind student-training"),
    (SPARSITY, "weights: {branches: [rewound,", "weights: {branches: [scratch,", r"branches: scratch needs nodes"),
    (SPARSITY, "granularity: weights, criterion: magnitude", "granularity: weights, criterion: overlap",
     r"criterion overlap ranks nodes, not weights"),
    ("config/experiments/lottery-dense.yaml", "seeds: 32", "target: labels\nseeds: 32", r"needs data with labels"),
    ("config/config.yaml", "scale: laptop", "scale: desktop", r"scale: unknown name 'desktop'; allowed: ci"),
    ("config/config.yaml", "device: cpu", "device: gpu", r"config.yaml: device: must be 'cpu' or 'cuda', got 'gpu'"),
    (SCALE, "seeds_per_job: 8", "seeds_per_job: 0", r"laptop.yaml: seeds_per_job: must be greater than 0, got 0"),
]  # fmt: skip


@pytest.mark.parametrize(("file", "old", "new", "message"), FAULTS)
def test_a_fault_gives_a_one_line_error(root: Path, file: str, old: str, new: str, message: str) -> None:
    edit(root, file, old, new)
    with pytest.raises(UserError) as error:
        Project(root)
    text = str(error.value)
    assert re.search(message, text), text
    assert Path(file).name in text
    assert "\n" not in text


def test_a_mapping_may_override_merged_keys(tmp_path: Path) -> None:
    """Keys merged by YAML's ``<<`` may be overridden. Equal keys written in the same mapping are refused."""
    file = tmp_path / "file.yaml"
    file.write_text("a: &a {x: 1, y: 2}\nb: &b {<<: *a, x: 3}\nc: {<<: *b, y: 4}\n")
    assert read_yaml(file) == {"a": {"x": 1, "y": 2}, "b": {"x": 3, "y": 2}, "c": {"x": 3, "y": 4}}
    file.write_text("a: &a {x: 1, y: 2}\nb: {<<: *a, x: 3, x: 4}\n")
    with pytest.raises(UserError, match=r"line 2: not valid YAML \(key 'x' stands in line 2 already\)"):
        read_yaml(file)


def test_missing_and_unreadable_files_are_named(root: Path) -> None:
    (root / "config" / "teachers.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match=r"teachers.yaml: is not UTF-8"):
        Project(root)
    (root / "config" / "teachers.yaml").unlink()
    with pytest.raises(UserError, match=r"teachers.yaml: cannot be read"):
        Project(root)
    with pytest.raises(UserError, match=r"config.yaml: cannot be read"):
        Project(root / "config")


def test_an_experiment_left_without_variants_is_refused(root: Path) -> None:
    (root / GAUS).write_text((root / GAUS).read_text() + "skip: [no-bn, bn]\n")
    with pytest.raises(UserError, match=r"unknown name|no variant is left"):
        Project(root)


@pytest.mark.parametrize("name", ["Gaus_FC", "claims"])
def test_a_file_name_that_is_no_name_of_an_experiment_is_refused(root: Path, name: str) -> None:
    shutil.copy(root / GAUS, root / "config" / "experiments" / f"{name}.yaml")
    with pytest.raises(UserError, match=rf"{name}.yaml: the file's name is the experiment's.*rename the file"):
        Project(root)


def test_scales_must_be_a_mapping(root: Path) -> None:
    text = (root / "config/experiments/rank-profile.yaml").read_text()
    (root / "config/experiments/rank-profile.yaml").write_text(text + "\nscales: [ci]\n")
    with pytest.raises(UserError, match=r"rank-profile.yaml: scales: must hold keys and values"):
        Project(root)


def test_merge_goes_into_mappings_and_null_removes() -> None:
    assert merge({"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"b": 9}, "d": None}) == {"a": {"b": 9, "c": 2}}


def test_the_hash_changes_with_what_numbers_depend_on(root: Path) -> None:
    before = config_hash(Project(root).run("gaus-fc", "bn"))
    for old, new in (
        ("question: Do", "question: Did"),
        ("    seeds: 3", "    seeds: 2"),
        ("lr 0.1, batch 64", "lr 0.1"),
    ):
        edit(root, GAUS, old, new)
        assert config_hash(Project(root).run("gaus-fc", "bn")) == before
    edit(root, GAUS, "rate: 0.1", "rate: 0.2")
    assert config_hash(Project(root).run("gaus-fc", "bn")) != before


def test_the_hash_of_a_teacher_goes_by_first_names_and_without_texts_and_empty_keys() -> None:
    """A teacher that was trained before a key was renamed or added is not trained again."""
    teacher = Project(ROOT, scale="paper").teachers["cifar-fc"]
    first = teacher.model_dump(mode="json", exclude_none=True)
    first |= {"init": "pretrained", "pretraining": first.pop("learning")}
    del first["published_accuracy"]
    digest = hashlib.sha256(json.dumps(first, sort_keys=True).encode()).hexdigest()
    assert digest.startswith(teacher_hash(teacher))
    assert teacher_hash(teacher.model_copy(update={"published_accuracy": 0.1, "reduced": "less"})) == teacher_hash(
        teacher
    )
    assert teacher_hash(teacher.model_copy(update={"count": 2})) != teacher_hash(teacher)


def test_reading_the_configuration_imports_no_torch() -> None:
    code = "import sys; from luckmatters.plan import Plan; import luckmatters.cli; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_conda_installs_the_same_pinned_list_as_make() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    python, pip, packages = environment["dependencies"]
    assert packages["pip"] == ["-r requirements.txt", "--editable ."]
    assert "--requirement requirements.txt" in (ROOT / "Makefile").read_text()
    pinned = [line for line in (ROOT / "requirements.txt").read_text().splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+==[0-9][0-9a-z.]*", line) for line in pinned)
    assert (python, pip) == ("python>=3.11,<3.14", "pip")


def test_everything_the_package_needs_is_pinned() -> None:
    import tomllib

    needed = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    pinned = {line.split("==")[0].lower() for line in (ROOT / "requirements.txt").read_text().splitlines()}
    assert {name.lower() for name in needed} <= pinned
