"""From the words on a command line to objects: what Hydra composes, and the one place where a call is made of it."""

import os
from collections.abc import Iterator, Mapping
from copy import deepcopy
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml
from hydra import version
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import IConfigRepository
from hydra._internal.utils import create_config_search_path
from hydra.core.config_search_path import ConfigSearchPath, SearchPathQuery
from hydra.core.default_element import ResultDefault
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, MissingConfigException
from hydra.types import RunMode
from omegaconf import DictConfig, Node, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from distbp import constructor, words
from distbp.errors import RequestError, nearest
from distbp.refusal import shown
from distbp.schema import Request, from_config

CONFIG = "config"  # the name of the primary configuration
PLUGINS = "distbp.workloads"  # entry points: packages whose conf/ is searched too

# What composing raises for a user's mistake. The last two are OmegaConf's where something is put into a null; OSError
# is that of a name which is too long for a file.
UNCOMPOSABLE = (HydraException, OmegaConfBaseException, yaml.YAMLError, OSError, AttributeError, AssertionError)


def conf_dir() -> Path:
    """The folder of our YAML: beside the package in a checkout, within it in a wheel."""
    package = Path(__file__).resolve().parent
    return next(folder for folder in (package / "conf", package.parent / "conf") if (folder / "config.yaml").exists())


def build(node: Mapping[str, Any], **given: Any) -> Any:
    """The object that a call of a checked request makes, with the arguments that the job gives it."""
    key = str(node["name"])
    return constructor.locate(key, node)(**constructor.arguments(key, node, given), **given)


def as_yaml(request: Request) -> str:
    """The request as YAML: what ``config.yaml`` of a run says."""
    return str(yaml.safe_dump(request.model_dump(mode="json"), sort_keys=False))


def request(*overrides: str) -> Request:
    """The request that these overrides of the default configuration make."""
    config = Loader(search_path()).load_configuration(CONFIG, list(overrides), RunMode.RUN)
    return from_config(plain(config), overrides)


def defaults(loader: "Loader", name: str) -> dict[str, Any]:
    """What the primary configuration ``name`` says where nobody overrides it."""
    return plain(loader.load_configuration(name, [], RunMode.RUN))


def search_path(folder: str | None = None) -> ConfigSearchPath:
    """Where YAML is read from: ours, that of the packages which registered themselves, and ``folder``."""
    version.setbase("1.3")
    OmegaConf.register_new_resolver("distbp.sweep", sweep_dir, replace=True)
    path = create_config_search_path(str(conf_dir()))
    for plugin in entry_points(group=PLUGINS):
        _prepend(path, plugin.value, _conf_of(plugin))
    if folder is not None:
        if not os.path.isdir(folder):  # noqa: PTH112 - Path's own raises for a name that is too long
            raise RequestError("--config-dir", shown(folder), "a folder that exists is needed")
        _prepend(path, "command-line", Path(folder).absolute())
    return path


def _conf_of(plugin: EntryPoint) -> Path:
    """The folder of a registered package's YAML. Raises RequestError where nothing of it would be found."""
    try:
        spec = find_spec(plugin.value)
    except Exception as error:  # whatever a package of somebody else's does when it is imported
        why = f"{type(error).__name__}: {error}"
    else:
        folders = [Path(place) / "conf" for place in (spec and spec.submodule_search_locations) or ()]
        for folder in filter(Path.is_dir, folders):
            return folder
        why = f"there is no folder {folders[0]}" if folders else "there is no such package"
    entry = f"the entry point {PLUGINS}: {plugin.name}"
    raise RequestError(entry, shown(plugin.value), f"a package that has a folder conf is needed ({why})")


def _prepend(path: ConfigSearchPath, provider: str, folder: Path) -> None:
    path.prepend(provider=provider, path=f"file://{folder}", anchor=SearchPathQuery(provider="schema"))


def sweep_dir(run_dir: str | None, workload: str, time: str) -> str:
    """The folder under which the jobs of a multirun have theirs."""
    return run_dir or f"runs/{workload}/{time}"


def plain(config: DictConfig) -> dict[str, Any]:
    """A composed configuration as plain values, without Hydra's own part."""
    keys = [str(key) for key in config if key != "hydra"]
    try:
        values = OmegaConf.to_container(OmegaConf.masked_copy(config, keys), resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        written = dict(_leaves(config)).get(str(error.full_key), "an interpolation")
        raise RequestError(str(error.full_key), written, str(error.msg).partition("\n")[0]) from error
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items()}


class Loader(ConfigLoaderImpl):
    """Hydra's loader, which checks each override before it is applied, and lets none change what is called.

    Every configuration of a job is composed here, also those of a sweep and of a sweeper's plugin.
    """

    written: DictConfig  # what the YAML files say, before overrides

    def load_configuration(
        self,
        config_name: str | None,
        overrides: list[str],
        run_mode: RunMode,
        from_shell: bool = True,
        validate_sweep_overrides: bool = True,
    ) -> DictConfig:
        """The configuration that ``overrides`` make. Raises RequestError for whatever is wrong with them."""
        parsed = [self.word(line) for line in overrides]
        words.check(parsed, self.groups, may_sweep=run_mode is RunMode.MULTIRUN)
        self.written = OmegaConf.create()
        try:
            config = super().load_configuration(config_name, overrides, run_mode, from_shell, validate_sweep_overrides)
        except MissingConfigException as error:
            raise self._missing(error) from error
        except UNCOMPOSABLE as error:
            message = str(error.__cause__ if isinstance(error.__cause__, OmegaConfBaseException) else error)
            raise words.explained(
                parsed,
                [key for key, _ in _leaves(self.written) if key.rpartition(".")[2] not in constructor.LABELS],
                self.groups,
                message,
            ) from error
        self._check_targets(config)
        return config

    def load_sweep_config(self, master_config: DictConfig, sweep_overrides: list[str]) -> DictConfig:
        """The configuration of one job of a sweep, checked before the first job starts."""
        config = super().load_sweep_config(master_config, sweep_overrides)
        try:
            values = plain(config)
        except RequestError:  # an interpolation may need the job's number, which is known when it starts
            return config
        from_config(values)
        return config

    def word(self, line: str) -> words.Word:
        """One override, parsed by Hydra's grammar."""
        try:
            (override,) = OverridesParser.create(self).parse_overrides([line])
        except HydraException as error:
            raise words.unreadable(line) from error
        if not override.key_or_group:
            raise words.unreadable(line)
        sign = override.get_key_element().removesuffix(f"@{override.package}").removesuffix(override.key_or_group)
        values = tuple(override.sweep_iterator()) if override.is_discrete_sweep() else (override.value(),)
        return words.Word(line, sign, override.key_or_group, override.package, values, override.is_sweep_override())

    @cached_property
    def groups(self) -> dict[str, list[str]]:
        """The choices of each group."""
        ours = {name: self._choices(name) for name in self._folders("") if name != "hydra"}
        return {
            **ours,
            "hydra/launcher": self._choices("hydra/launcher"),
            "hydra/sweeper": self._choices("hydra/sweeper"),
        }

    def file(self, name: str) -> Path | None:
        """The YAML file of this name, the first on the search path."""
        folders = [Path(source.path) for source in self.get_sources() if source.scheme() == "file"]
        return next((file for folder in folders if (file := folder / f"{name.strip('/')}.yaml").exists()), None)

    def _choices(self, group: str) -> list[str]:
        within = [f"{name}/{choice}" for name in self._folders(group) for choice in self._choices(f"{group}/{name}")]
        return [*self._files(group), *within]

    def _folders(self, group: str) -> list[str]:
        # the repository itself: the loader's own list_groups copies it, with all that it has read, for every question
        return self.repository.get_group_options(group, ObjectType.GROUP)

    def _files(self, group: str) -> list[str]:
        names = self.repository.get_group_options(group, ObjectType.CONFIG)
        return [name for name in names if not name.startswith("_")]

    def _missing(self, error: MissingConfigException) -> RequestError:
        names = self._files("")
        name = str(error.missing_cfg_file)
        return RequestError(
            "--config-name", name, f"one of {', '.join(names)} is allowed", nearest=nearest(name, names)
        )

    def _check_targets(self, config: DictConfig) -> None:
        written = _targets(self.written)
        for key, target in _targets(config).items():
            if target != written.get(key) or "${" in str(target):
                raise RequestError(key, target, "only the plain text of a YAML file says what is called")

    def _compose_config_from_defaults_list(self, defaults: list[ResultDefault], repo: IConfigRepository) -> DictConfig:
        config = super()._compose_config_from_defaults_list(defaults, repo)
        self.written = deepcopy(config)
        return config


def _leaves(config: DictConfig) -> Iterator[tuple[str, Any]]:
    """Every dotted key of a configuration with its value as written, but Hydra's own."""
    for key in config:
        node = config._get_node(key)
        if key == "hydra" or not isinstance(node, Node):
            continue
        yield str(key), node._value()
        if isinstance(node, DictConfig):
            yield from ((f"{key!s}.{within}", value) for within, value in _leaves(node))


def _targets(config: DictConfig) -> dict[str, Any]:
    return {key: value for key, value in _leaves(config) if key.endswith("_target_")}
