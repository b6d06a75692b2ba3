"""Where configuration comes from, what it may call, and what is built of it."""

import subprocess
import sys
import zipfile
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import pytest
import yaml

from distbp import config
from distbp.config import Loader, build, conf_dir, request, search_path
from distbp.errors import RequestError
from distbp.recipe import growth
from distbp.schema import Request
from distbp.usage import files, key_lines, meanings
from tests.cli.conftest import Distbp, Launched

OURS = Path(__file__).parent / "conf"
ROOT = Path(__file__).parents[2]


def test_the_checkout_has_conf_beside_the_package() -> None:
    assert conf_dir() == ROOT / "conf"


def test_the_wheel_has_conf_within_the_package(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--outdir", tmp_path, ROOT],
        check=True,
        capture_output=True,
        timeout=100,
    )
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    script = "from distbp import config; print(config.conf_dir()); print(config.request('seed=3').seed)"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, 'site'); {script}"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.split() == [str((tmp_path / "site/distbp/conf").resolve()), "3"]


def test_a_request_is_built_of_its_calls() -> None:
    schedule = build(request("schedule=constant", "schedule.warmup_epochs=2").schedule)
    assert schedule(1.0, 10.0) == 0.5


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    """``tests.config`` as an installed package that registered itself."""
    found = EntryPoints([EntryPoint("garden", "tests.config", config.PLUGINS)])
    monkeypatch.setattr(config, "entry_points", lambda group: found.select(group=group))


@pytest.mark.usefixtures("plugin")
def test_a_registered_package_is_searched() -> None:
    made = request("workload=garden", "workload.beds=[4]")
    assert (made.batch_size, made.workload["water"]) == (6, 0.5)
    assert build(made.workload, path=None, cache="c", seed=1) == {
        "beds": (4,),
        "water": 0.5,
        "path": None,
        "cache": "c",
        "seed": 1,
    }


@pytest.mark.usefixtures("plugin")
def test_what_is_built_is_the_same_after_a_journey_as_json() -> None:
    made = Request.model_validate_json(request("workload=garden").model_dump_json())
    assert build(made.workload, path=None, cache="c", seed=1)["beds"] == (3, 2)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("no_such_package", "there is no such package"),
        ("no_such.package", "ModuleNotFoundError: No module named 'no_such'"),
        ("math", "there is no such package"),
        ("tests.data", "there is no folder "),
        ("tests.config.failing.within", "RuntimeError: no soil"),
    ],
)
def test_a_registered_package_without_yaml_is_refused(
    distbp: Distbp, monkeypatch: pytest.MonkeyPatch, value: str, why: str
) -> None:
    found = EntryPoints([EntryPoint("garden", value, config.PLUGINS)])
    monkeypatch.setattr(config, "entry_points", lambda group: found.select(group=group))
    answer = distbp("workload=garden")
    assert answer.code == 2
    assert answer.err.startswith(f"distbp: error: the entry point distbp.workloads: garden={value}: a package that has")
    assert why in answer.err
    assert answer.err.count("\n") == 1


def test_a_given_folder_is_searched(distbp: Distbp, launched: Launched) -> None:
    assert distbp("--config-dir", str(OURS), "workload=garden").code == 0
    assert launched.request.workload["beds"] == (3, 2)


def test_a_primary_configuration_may_be_the_users(distbp: Distbp, launched: Launched) -> None:
    assert distbp("-cd", str(OURS), "-cn", "mine", "seed=12").code == 0
    assert (launched.request.workload["name"], launched.request.seed) == ("garden", 12)


def test_help_shows_what_a_given_folder_adds(distbp: Distbp) -> None:
    answer = distbp("-cd", str(OURS), "--help")
    assert "garden" in answer.out
    assert "garden: plants of each bed" in answer.out


WRONG = [
    ("workload=gardn", "workload=gardn", "nearest: garden"),
    ("workload=barren", "workload._target_=tests.config.garden.desert", "a function that can be imported"),
    ("workload=bare", "workload._target_=math.pi", "this is 3.14"),
    ("workload=foreign", "workload._target_=os.system", "it does not take path, cache, seed"),
    ("workload=unsigned", "workload._target_=builtins.dict", "its signature cannot be read"),
    ("workload=nameless", "workload.name=(missing)", "a text, the name of the choice"),
    ("workload=failing", "workload._target_=tests.config.failing.garden", "RuntimeError: no soil"),
    ("workload=pointed", "", "which"),
    ("workload=garden  workload.bed=[1]", "workload.bed=[1]", "nearest: workload.beds"),
    ("workload=garden  workload.beds=[0]", "workload.beds=[0]", "each item a whole number greater than 0"),
    ("workload=garden  ~workload.beds", "workload.beds=(missing)", "each item a whole number greater than 0 is needed"),
    ("workload=garden  +workload.cache=x", "workload.cache=x", "there is no such key"),
    ("workload=garden  workload._target_=os.system", "workload._target_=os.system", "YAML files only"),
]


@pytest.mark.parametrize(("line", "begins", "fragment"), WRONG, ids=[row[0] for row in WRONG])
def test_somebody_elses_yaml_is_checked_as_ours(distbp: Distbp, line: str, begins: str, fragment: str) -> None:
    answer = distbp("-cd", str(OURS), *line.split("  "))
    assert answer.code == 2
    assert answer.err.startswith(f"distbp: error: {begins}")
    assert answer.err.count("\n") == 1
    assert fragment in answer.err


def test_a_call_cannot_be_smuggled_past_the_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loader compares what is called with the YAML, whatever the overrides looked like."""
    monkeypatch.setattr(config.words, "check", lambda *_, **__: None)
    with pytest.raises(RequestError, match=r"optimizer._target_=os.system: only the plain text of a YAML file"):
        request("optimizer._target_=os.system")


def test_a_request_is_yaml_that_says_the_same() -> None:
    made = request("optimizer=sgd", "shards=4")
    assert Request.model_validate(yaml.safe_load(config.as_yaml(made))) == made


@pytest.mark.parametrize("argv", [["workload=broken"], ["--help"]])
def test_a_file_that_is_no_yaml_is_named(distbp: Distbp, tmp_path: Path, argv: list[str]) -> None:
    (tmp_path / "workload").mkdir()
    (tmp_path / "workload/broken.yaml").write_text("workload: [")
    answer = distbp("-cd", str(tmp_path), *argv)
    assert answer.code == 2
    assert answer.err.startswith("distbp: error: ")
    assert answer.err.count("\n") == 1
    assert "workload/broken.yaml" in answer.err


def test_every_key_of_our_yaml_has_a_meaning_beside_it() -> None:
    loader = Loader(search_path())
    found = list(files(loader, config.CONFIG, config.defaults(loader, config.CONFIG)))
    explained = {key for file, prefix, _ in found for key, _ in meanings(file, prefix)}
    written = {key for file, prefix, _ in found for key, _ in key_lines(yaml.compose(file.read_text()), prefix)}
    sections = {key for key in written if any(other.startswith(f"{key}.") for other in written)}
    silent = {key for key in written if key.startswith("hydra") or key.rpartition(".")[2] in SILENT}
    assert written - sections - silent == explained - sections
    assert len(explained) > 30


SILENT = {"name", "_target_", "defaults"}


GROUPS = ("workload", "experiment")
MEANT = [f"{g}={file.parent.name}/{file.stem}" for g in GROUPS for file in sorted((ROOT / "conf" / g).glob("*/*.yaml"))]


@pytest.mark.parametrize("choice", MEANT)
def test_a_rate_is_meant_for_the_batch_size_beside_it(choice: str) -> None:
    """So that lr_scaling leaves a workload and a named run as they are."""
    asked = request(choice, "lr_scaling=linear")
    assert asked.lr_batch_size == asked.batch_size
    assert growth(asked) == 1.0


def test_a_rate_that_is_meant_for_no_batch_size_does_not_grow() -> None:
    asked = request("lr_batch_size=null")
    assert growth(asked) == 1.0
    with pytest.raises(RequestError, match="lr_batch_size=None: lr_scaling=sqrt needs the batch size"):
        growth(asked.model_copy(update={"lr_scaling": "sqrt"}))
