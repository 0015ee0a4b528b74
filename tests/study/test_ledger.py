"""Who runs which trial: order, groups, claims, failures, and what becomes of the dead's trials."""

import math
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.study.builders import CONFIG, execution

from autodecoder.config import Range, SearchConfig, StudyConfig
from autodecoder.errors import DataError, OutputError, SearchError, StorageError
from autodecoder.files import read_json, write_json
from autodecoder.study.ledger import Claim, Ledger, delete_study
from autodecoder.study.records import write_trial
from autodecoder.study.results import COMPLETE, FAILED, UNFINISHED, Trial
from autodecoder.study.space import planned_trials, to_values

SHAPE = (8, 8, 1)
RATES = (1e-4, 1e-3, 1e-2)


@pytest.fixture(autouse=True)
def storage(tables: Path, tmp_path: Path) -> None:
    """The database is there already, as to make one takes most of the time of these tests."""
    shutil.copy(tables, tmp_path)


def config(space: dict[str, Any], executions: int = 2, **search: Any) -> StudyConfig:
    search_config = SearchConfig({"learning_rate": RATES} | space, **search)
    return replace(CONFIG, search=search_config, executions_per_trial=executions)


@contextmanager
def opened(folder: Path, settings: StudyConfig) -> Iterator[Ledger]:
    with Ledger(folder, "study", settings, SHAPE) as ledger:
        yield ledger


def end(ledger: Ledger, folder: Path, claim: Claim, score: float) -> None:
    """Finish a trial: as failed if its score is not a number."""
    complete = math.isfinite(score)
    run = execution(score, status="finished" if complete else "diverged")
    state = COMPLETE if complete else FAILED
    trial = Trial(claim.trial_id, claim.number, claim.values, (run, run), state)
    write_trial(folder, trial)
    ledger.finish(trial)


def begin(folder: Path, claim: Claim) -> None:
    """Leave what a process leaves that has begun a trial."""
    trial = Trial(claim.trial_id, claim.number, claim.values, (), UNFINISHED)
    write_trial(folder, trial)


def search_to_its_end(folder: Path, settings: StudyConfig, claims_each: int = 10**6) -> list[dict]:
    """Run a search whose score is the distance from 1e-3; the values in order of claims.

    `claims_each` claims are made in one sitting, of which the last is abandoned.
    """
    values: dict[str, dict] = {}
    while True:
        with opened(folder, settings) as ledger:
            for k in range(claims_each):
                claims = ledger.claim()
                if not claims:
                    return list(values.values())
                for claim in claims:
                    begin(folder, claim)
                    values[claim.trial_id] = dict(claim.values)
                    if k + 1 < claims_each:
                        rate = claim.values["learning_rate"]
                        end(ledger, folder, claim, abs(math.log10(rate) + 3))


# A grid


def test_a_grid_is_claimed_shape_by_shape(tmp_path: Path) -> None:
    settings = config({"latent_dims": (2, 8), "arch": ((16,), (8, 4))})
    seen = []
    with opened(tmp_path, settings) as ledger:
        while claims := ledger.claim():
            shapes = {settings.run_config(claim.values, SHAPE) for claim in claims}
            assert len(shapes) == 1
            assert [claim.values["learning_rate"] for claim in claims] == list(RATES)
            assert all(type(claim.values["latent_dims"]) is int for claim in claims)
            seen.append((claims[0].values["latent_dims"], claims[0].values["arch"]))
            seen_ids = {claim.trial_id for claim in claims}
            assert len(seen_ids) == 3
    assert seen == [(2, (16,)), (2, (8, 4)), (8, (16,)), (8, (8, 4))]


def test_shapes_stand_together_in_whatever_order_they_are_given(tmp_path: Path) -> None:
    settings = config({"latent_learning_rate": (1e-3, 1e-2), "batch_norm": (True, False)})
    with opened(tmp_path, settings) as ledger:
        groups = [ledger.claim() for _ in range(3)]
    assert [len(group) for group in groups] == [6, 6, 0]
    for group, switch in zip(groups, (True, False), strict=False):
        assert {claim.values["batch_norm"] for claim in group} <= {switch}


@pytest.mark.parametrize(
    ("runs_at_once", "executions", "sizes"),
    [(64, 2, [3]), (4, 2, [2, 1]), (2, 2, [1, 1, 1]), (1, 2, [1, 1, 1]), (2, 1, [2, 1])],
)
def test_no_more_runs_than_allowed_share_a_program(
    tmp_path: Path, runs_at_once: int, executions: int, sizes: list[int]
) -> None:
    settings = config({}, executions, runs_at_once=runs_at_once)
    with opened(tmp_path, settings) as ledger:
        groups = [ledger.claim() for _ in range(4)]
    assert [len(group) for group in groups] == [*sizes, *[0] * (4 - len(sizes))]
    assert [c.values["learning_rate"] for group in groups for c in group] == list(RATES)


def test_no_trial_is_claimed_twice(tmp_path: Path) -> None:
    settings = config({}, runs_at_once=1)
    with opened(tmp_path, settings) as one, opened(tmp_path, settings) as other:
        claims = [ledger.claim() for ledger in (one, other, one, other)]
    assert [len(claim) for claim in claims] == [1, 1, 1, 0]
    assert len({claim.trial_id for (claim,) in claims[:3]}) == 3
    assert [claim.number for (claim,) in claims[:3]] == [0, 1, 2]


def test_max_trials_of_a_grid_may_grow(tmp_path: Path) -> None:
    first = search_to_its_end(tmp_path, config({}, max_trials=1))
    assert first == [{"learning_rate": 1e-4}]
    others = search_to_its_end(tmp_path, config({}))
    assert others == [{"learning_rate": rate} for rate in (1e-3, 1e-2)]


# Samplers that draw

LOG = {"learning_rate": Range(1e-4, 1e-1, log=True)}
SPACE = LOG | {"latent_dims": Range(2.0, 8.0), "activation": ("relu", "tanh")}


def test_random_draws_of_one_shape_share_a_group(tmp_path: Path) -> None:
    with opened(tmp_path, config(LOG, sampler="random", max_trials=5)) as ledger:
        assert [len(ledger.claim()) for _ in range(2)] == [5, 0]


def test_random_draws_are_those_planned_and_may_grow(tmp_path: Path) -> None:
    settings = config(SPACE, sampler="random", max_trials=5)
    few = search_to_its_end(tmp_path, grown(settings, 2))
    more = search_to_its_end(tmp_path, settings)
    drawn = planned_trials(settings)
    assert drawn is not None
    assert sorted(map(str, few + more)) == sorted(map(str, map(to_values, drawn)))
    assert sorted(map(str, few)) == sorted(map(str, map(to_values, drawn[:2])))


TPE = config(SPACE, sampler="tpe", max_trials=12)


def grown(settings: StudyConfig, max_trials: int) -> StudyConfig:
    return replace(settings, search=replace(settings.search, max_trials=max_trials))


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict]]:
    """A search by TPE that nothing befell: its folder, and the values that it chose."""
    folder = tmp_path_factory.mktemp("searched")
    return folder, search_to_its_end(folder, TPE)


def test_tpe_runs_one_trial_after_the_other(tmp_path: Path) -> None:
    with opened(tmp_path, grown(TPE, 3)) as ledger:
        for number in range(3):
            (claim,) = ledger.claim()
            assert claim.number == number
            assert set(claim.values) == set(SPACE)
            assert type(claim.values["latent_dims"]) is int
            end(ledger, tmp_path, claim, 1.0)
        assert ledger.claim() == []


def test_another_seed_chooses_otherwise(searched: tuple[Path, list[dict]], tmp_path: Path) -> None:
    assert len(searched[1]) == 12
    other = search_to_its_end(tmp_path, replace(grown(TPE, 2), seed=6))
    rates = [{values["learning_rate"] for values in both} for both in (searched[1], other)]
    assert rates[0].isdisjoint(rates[1])


def test_a_search_cut_off_chooses_as_if_it_had_not_been(
    searched: tuple[Path, list[dict]], tmp_path: Path
) -> None:
    """Cut off at every fifth trial, and grown on the way."""
    few = search_to_its_end(tmp_path, grown(TPE, 8), claims_each=5)
    more = search_to_its_end(tmp_path, TPE, claims_each=5)
    assert few + more == searched[1]


def test_a_search_whose_storage_was_lost_chooses_as_if_it_had_not_been(
    searched: tuple[Path, list[dict]], tmp_path: Path
) -> None:
    more = []
    for name in ("kept", "lost"):
        folder = tmp_path / name
        shutil.copytree(searched[0], folder)
        if name == "lost":
            (folder / "study.db").unlink()
        more.append(search_to_its_end(folder, grown(TPE, 13)))
    assert more[0] == more[1]
    assert len(more[0]) == 1


# Failures


def test_ten_failures_in_a_row_end_a_search(tmp_path: Path) -> None:
    settings = config(LOG, sampler="tpe", max_trials=13)
    with opened(tmp_path, settings) as ledger:
        for score in (math.nan, math.nan, 1.0, *[math.nan] * 10):
            end(ledger, tmp_path, ledger.claim()[0], score)
        assert ledger.claim() == [], "these are all there are"
    with (
        opened(tmp_path, config(LOG, sampler="tpe", max_trials=14)) as ledger,
        pytest.raises(SearchError, match=r"last 10 trials failed.*aborted"),
    ):
        ledger.claim()


def test_others_are_trials_that_have_not_failed(tmp_path: Path) -> None:
    settings = config({}, runs_at_once=1)
    with opened(tmp_path, settings) as ledger:
        claims = ledger.claim()
        assert ledger.has_others(claims)
        for _ in range(2):
            end(ledger, tmp_path, ledger.claim()[0], math.nan)
        assert not ledger.has_others(claims)


# Processes that are gone


def test_the_trials_of_a_dead_process_are_claimed_again_as_one_group(tmp_path: Path) -> None:
    settings = config({"latent_dims": (2, 4)}, runs_at_once=4)
    with opened(tmp_path, settings) as dead:
        first, second = dead.claim(), dead.claim()
    with opened(tmp_path, settings) as heir:
        again = [heir.claim(), heir.claim()]
    assert again == [first, second]


def test_no_more_of_them_than_are_allowed_now(tmp_path: Path) -> None:
    """As is advised where memory does not suffice."""
    with opened(tmp_path, config({})) as dead:
        (first, *others) = dead.claim()
    assert len(others) == 2
    with opened(tmp_path, config({}, runs_at_once=2)) as heir:
        assert [heir.claim() for _ in range(4)] == [[first], *[[other] for other in others], []]


def test_a_part_of_a_group_is_a_group_where_trials_are_compared(tmp_path: Path) -> None:
    settings = config({}, executions=1, prune="asha")
    with opened(tmp_path, settings) as dead:
        whole = dead.claim()
        assert len({claim.group for claim in whole}) == 1
    with opened(tmp_path, settings) as heir:
        assert heir.claim() == whole, "the same group"
        end(heir, tmp_path, whole[0], 0.5)
        assert heir.ended_with(whole[1:]) == [whole[0].trial_id]
    few = config({}, executions=1, prune="asha", runs_at_once=1)
    with opened(tmp_path, few) as heir:
        parts = [heir.claim() for _ in range(2)]
        assert [[c.trial_id for c in part] for part in parts] == [[c.trial_id] for c in whole[1:]]
        assert parts[0][0].group != whole[0].group
        assert heir.ended_with(parts[0]) == []


def test_the_trials_of_a_living_process_are_its_own(tmp_path: Path) -> None:
    settings = config({"latent_dims": (2, 4)})
    with opened(tmp_path, settings) as one, opened(tmp_path, settings) as other:
        first = one.claim()
        assert {c.values["latent_dims"] for c in first} == {2}
        assert {c.values["latent_dims"] for c in other.claim()} == {4}
        assert one.claim() == other.claim() == []


def test_lock_files_of_processes_do_not_stay(tmp_path: Path) -> None:
    settings = config({})
    with opened(tmp_path, settings):
        assert len(list(tmp_path.glob(".worker-*.lock"))) == 1
        with pytest.raises(OutputError, match="in use by another process"):
            delete_study(tmp_path, "study", None)
    assert list(tmp_path.glob(".worker-*.lock")) == []
    delete_study(tmp_path, "study", None)
    # Of a process that was killed: the file is there, and nobody holds it.
    (tmp_path / ".worker-0123abcd.lock").touch()
    delete_study(tmp_path, "study", None)
    with opened(tmp_path, settings) as ledger:
        ledger.claim()
    assert list(tmp_path.glob(".worker-*.lock")) == []


# A storage that was lost


def test_a_new_storage_learns_from_the_folder(tmp_path: Path) -> None:
    settings = config({"latent_dims": (2, 4)}, runs_at_once=4)
    with opened(tmp_path, settings) as ledger:
        first = ledger.claim()
        second = ledger.claim()
        end(ledger, tmp_path, first[1], 1.0)
        end(ledger, tmp_path, second[0], math.nan)
        begin(tmp_path, first[0])
    (tmp_path / "study.db").unlink()
    with opened(tmp_path, settings) as ledger:
        claims = [claim for _ in range(4) for claim in ledger.claim()]
    (same,) = (claim for claim in claims if claim.trial_id == first[0].trial_id)
    assert same.values == first[0].values
    assert not {first[1].trial_id, second[0].trial_id} & {claim.trial_id for claim in claims}
    assert len(claims) == 4
    cells = {(c.values["learning_rate"], c.values["latent_dims"]) for c in claims}
    done = {(c.values["learning_rate"], c.values["latent_dims"]) for c in (first[1], second[0])}
    assert cells | done == {(rate, dims) for rate in RATES for dims in (2, 4)}


@pytest.mark.parametrize(
    "damage",
    [
        {"score": None},
        {"score": "low"},
        {"values": {"learning_rate": 5.0}},
        {"values": {"learning_rate": "fast"}},
    ],
)
def test_a_damaged_trial_is_not_restored(tmp_path: Path, damage: dict[str, Any]) -> None:
    """It was said that the storage cannot be used."""
    settings = config({})
    search_to_its_end(tmp_path, settings)
    (tmp_path / "study.db").unlink()
    path = next((tmp_path / "trials").glob("*/trial.json"))
    write_json(path, {**read_json(path), **damage})
    with (
        pytest.raises(
            DataError, match=r"trial\.json is damaged: .*(score|another search|learning)"
        ),
        opened(tmp_path, settings),
    ):
        pass


# Optuna leaves the connection of a database that it cannot open to the garbage collection.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_damaged_storage_is_to_be_moved_away(tmp_path: Path) -> None:
    settings = config({})
    search_to_its_end(tmp_path, settings)
    whole = (tmp_path / "study.db").read_bytes()
    for content in (b"garbage" * 1000, whole[: len(whole) // 2], whole[:100] + bytes(8000)):
        (tmp_path / "study.db").write_bytes(content)
        with (
            pytest.raises(StorageError, match=r"study\.db is damaged.*[Mm]ove it away"),
            opened(tmp_path, settings) as ledger,
        ):
            ledger.claim()
        assert (tmp_path / "study.db").read_bytes() == content
    shutil.move(tmp_path / "study.db", tmp_path / "away.db")
    assert search_to_its_end(tmp_path, settings) == []


def test_it_knows_whether_others_are_at_work(tmp_path: Path) -> None:
    with opened(tmp_path, config({})) as one:
        assert one.is_alone()
        with opened(tmp_path, config({})) as other:
            assert not one.is_alone()
            assert not other.is_alone()
        assert one.is_alone()
