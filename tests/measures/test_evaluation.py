"""The result of an evaluation: its table, and its file."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.measures.builders import make_evaluation

from autodecoder.errors import DataError
from autodecoder.measures.evaluation import read_evaluation, write_evaluation


def test_it_shows_a_table() -> None:
    assert repr(make_evaluation()) == (
        """\
reconstruction
  mean squared error, pixels in [-1, 1]       0.4
  mean squared error, pixels in [0, 1]        0.1
structure
  5-NN accuracy, training to evaluated      0.875
  active units                                 12
generation                                samples  reconstructions
  precision                                   0.5             0.75
  Fréchet distance                           1234             0.25
class  images  samples
  cat  50.0 %  100.0 %
  dog  50.0 %    0.0 %
<b>animals</b>: 1,000 evaluated; 7 samples beside as many images.
Samples and images are compared by a space.
The classifier is right about 90.0 % of the images.
Left out, since of that: ssim.
Left out, since of this: recall, density."""
    )


def test_an_empty_one_shows_its_reasons() -> None:
    empty = {name: {} for name in ("reconstruction", "structure", "generation", "floor")}
    found = make_evaluation(**empty, class_shares={}, classifier_accuracy=None)
    assert found.rows() == found.class_rows() == []
    assert repr(found).startswith("<b>animals</b>: 1,000 evaluated")
    assert "compared" not in repr(found)


def test_many_classes_are_not_in_the_table() -> None:
    shares = {str(k): 1 / 31 for k in range(31)}
    found = make_evaluation(class_shares={"images": shares, "samples": shares})
    assert found.class_rows() == []
    assert len(found.to_dict()["class_shares"]["images"]) == 31


def test_a_file_holds_all_of_it(tmp_path: Path) -> None:
    found, path = make_evaluation(), tmp_path / "evaluation.json"
    write_evaluation(found, path)
    assert json.loads(path.read_text(encoding="utf-8")) == found.to_dict()
    assert read_evaluation(path).to_dict() == found.to_dict()
    write_evaluation(make_evaluation(classifier_accuracy=None), path)
    assert read_evaluation(path).classifier_accuracy is None


@pytest.mark.parametrize(
    "changes",
    [
        {"structure": {"active_units": "12"}},
        {"structure": {"active_units": True}},
        {"floor": [1]},
        {"class_shares": {"images": 3}},
        {"left_out": {"ssim": 3}},
        {"features": None},
        {"classifier_accuracy": "good"},
        {"images": 3},
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    path = tmp_path / "evaluation.json"
    path.write_text(json.dumps(make_evaluation().to_dict() | changes), encoding="utf-8")
    with pytest.raises(DataError, match="no evaluation of a model"):
        read_evaluation(path)


def test_a_file_that_lacks_a_part_is_refused(tmp_path: Path) -> None:
    path, content = tmp_path / "evaluation.json", make_evaluation().to_dict()
    del content["sizes"]
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(DataError, match="no evaluation of a model"):
        read_evaluation(path)


def test_names_from_a_file_are_shown_as_one_line(tmp_path: Path) -> None:
    path = tmp_path / "evaluation.json"
    write_evaluation(make_evaluation(images="two\nlines", features="x" * 500), path)
    found = read_evaluation(path)
    assert found.images == "two lines"
    assert len(found.features) < 200
