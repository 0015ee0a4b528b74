"""Measures of the latents that a method gives to unseen images."""

from collections.abc import Mapping

import numpy as np

from autodecoder.compare.work import Placed
from autodecoder.measures.structure import doubt_labels, neighbour_accuracy

#: Neighbours that vote and that trustworthiness looks at, most training latents that are searched,
#: and most images for trustworthiness, whose cost grows with the square.
_NEIGHBOURS, _MOST_KNOWN, _MOST_COMPARED = 5, 60_000, 5_000


def measure_structure(placed: Placed) -> Mapping[str, float]:
    """Accuracy of 5 nearest neighbours from training to unseen latents, and trustworthiness of the
    unseen latents (`docs/evaluate.md`), as far as labels, number of images and missing pixels
    allow."""
    from sklearn.manifold import trustworthiness

    found = {}
    train, unseen, model = placed.train, placed.unseen, placed.model
    rng = np.random.default_rng(0)
    known = np.sort(rng.permutation(len(train))[:_MOST_KNOWN])
    if doubt_labels(unseen.labels) is None and len(known) > _NEIGHBOURS:
        numbers = neighbour_accuracy(
            *(model.latents[known], train.labels[known], placed.latents, unseen.labels),
            numbers=(_NEIGHBOURS,),
        )
        found["5-NN accuracy"] = numbers[_NEIGHBOURS]
    some = np.sort(rng.permutation(len(unseen))[:_MOST_COMPARED])
    if unseen.mask is None and len(some) > 2 * _NEIGHBOURS:
        images, latents = unseen.flat[some] / np.float32(255), placed.latents[some]
        found["trustworthiness"] = float(trustworthiness(images, latents, n_neighbors=_NEIGHBOURS))
    return found
