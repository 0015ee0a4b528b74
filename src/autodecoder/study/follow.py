"""Followers: processes that run the leader's groups with it, and write no files."""

from collections.abc import Mapping
from typing import Any

import jax

from autodecoder._version import __version__
from autodecoder.config import StudyConfig, to_dict
from autodecoder.core.switches import own_switches
from autodecoder.data import Dataset
from autodecoder.model.devices import choose_devices
from autodecoder.model.programs import limit_programs
from autodecoder.study.group import Group
from autodecoder.study.hosts import Hosts
from autodecoder.study.images import images_of


def agree_on_settings(config: StudyConfig, hosts: Hosts) -> StudyConfig:
    """The leader's settings, if those of all processes agree except for the seed.

    Raises
    ------
    ConfigError
        In all processes, if releases or settings differ. It names the process and the difference.
    """
    settings = dict(_flat(to_dict(config)))
    settings.pop("seed")
    hosts.compare({"autodecoder": __version__, "jax": jax.__version__, **settings})
    return hosts.agree(config)


@own_switches()
def follow_study(
    config: StudyConfig, dataset: Dataset, hosts: Hosts, *, mesh: str | None = None
) -> None:
    """Take part in a study that process 0 runs with `run_study`, until it ends.

    Parameters
    ----------
    config : StudyConfig
    dataset : Dataset
        The same as in process 0.
    hosts : Hosts
    mesh : str, optional
        As in process 0.

    Raises
    ------
    ConfigError
        If settings, data or releases differ from those of process 0.
    """
    config = agree_on_settings(config, hosts)
    hosts.compare({"data": dataset.fingerprint, "mesh": str(mesh)})
    devices = choose_devices("all", mesh, over_hosts=True)
    images = images_of(dataset).give_to(devices)
    while (assignment := hosts.receive()) is not None:
        limit_programs()
        group = Group(
            assignment.job,
            images,
            devices=devices,
            checkpoints=assignment.checkpoints,
            should_stop=lambda: False,
            team=hosts,
        )
        for _ in group.run():
            pass
    hosts.leave()


def _flat(settings: Mapping[str, Any], before: str = "") -> dict[str, str]:
    """Settings by path."""
    found: dict[str, str] = {}
    for name, value in settings.items():
        path = f"{before}{name}"
        found |= _flat(value, f"{path}.") if isinstance(value, Mapping) else {path: repr(value)}
    return found
