"""Paths through the latent space from one latent to another."""

from typing import Any

import numpy as np
from jaxtyping import Float, Int

from autodecoder.config.rules import check_choice, check_positive_int
from autodecoder.errors import ConfigError, DataError

PATHS = ("linear", "spherical", "data")

#: Most nodes of the graph for `data` paths, and number of neighbours of each node.
_N_NODES = 5000
_N_NEIGHBOURS = 15
#: Least length of an edge, instead of 0.
_SHORTEST = 1e-150


def latent_path(
    start: Float[np.ndarray, " dims"],
    end: Float[np.ndarray, " dims"],
    n: int,
    path: str,
    known: Float[np.ndarray, "k dims"],
) -> Float[np.ndarray, "n dims"]:
    """Points on a path between two latents, including both ends.

    Parameters
    ----------
    start, end : (latent_dims,)
    n : int
        Number of points, 2 or more.
    path : str
        `linear`: the straight line. `spherical`: around the mean of the known latents, with uniform
        change of direction and of distance from the mean (Shoemake 1985); the straight line if both
        ends have the same or opposite directions. `data`: the shortest path over known latents by
        squared lengths, which prefers dense regions (Groisman et al. 2022), in steps of equal
        length.
    known : (k, latent_dims)
        Latents of training images. If there are many, `data` uses evenly spaced ones.

    Raises
    ------
    ConfigError
        If there is no such path, or `n` is below 2.
    DataError
        If there are no known latents for `data`, or latents are too large for the path.
    """
    check_choice("path", path, PATHS)
    check_positive_int("n", n)
    if n < 2:
        raise ConfigError(f"n must be 2 or more, both ends included, got {n}.")
    share = np.linspace(0, 1, n)[:, None]
    known = known[np.isfinite(known).all(axis=1)]
    with np.errstate(over="ignore", invalid="ignore"):  # checked below
        if path == "spherical":
            centre = known.mean(0) if len(known) else np.zeros_like(start)
            points = _around(start, end, share, centre)
        elif path == "data":
            points = _resample(_along(start, end, known), n)
        else:
            points = (1 - share) * start + share * end
        points = points.astype(np.float32)
    if not np.isfinite(points).all():
        raise DataError(
            f"a {path} path must stay in the range of single precision, but the values of these "
            "latents are too large."
        )
    return points


def _around(
    start: Float[np.ndarray, " dims"],
    end: Float[np.ndarray, " dims"],
    share: Float[np.ndarray, "n 1"],
    centre: Float[np.ndarray, " dims"],
) -> Float[np.ndarray, "n dims"]:
    arms = np.stack([start - centre, end - centre]).astype(np.float64)
    lengths = np.linalg.norm(arms, axis=1)
    if lengths.min() == 0:
        return ((1 - share) * start + share * end).astype(np.float32)
    if not np.isfinite(lengths).all():
        return np.full((len(share), len(start)), np.nan)
    one, other = arms / lengths[:, None]
    angle = np.arccos(np.clip(one @ other, -1, 1))
    if np.sin(angle) < 1e-6:  # same or opposite directions define no plane of rotation
        return ((1 - share) * start + share * end).astype(np.float32)
    turned = np.sin((1 - share) * angle) * one + np.sin(share * angle) * other
    radius = (1 - share) * lengths[0] + share * lengths[1]
    points = centre + radius * turned / np.sin(angle)
    points[0], points[-1] = start, end
    return points.astype(np.float32)


def _along(
    start: Float[np.ndarray, " dims"],
    end: Float[np.ndarray, " dims"],
    known: Float[np.ndarray, "k dims"],
) -> Float[np.ndarray, "m dims"]:
    """The shortest path over known latents."""
    # Imported here, since they take a second to import.
    from scipy.sparse.csgraph import connected_components, dijkstra
    from sklearn.neighbors import kneighbors_graph

    # Without duplicates, whose nearest neighbours would all be each other.
    known = np.unique(known, axis=0)
    known = known[:: max(1, -(-len(known) // _N_NODES))]
    if not len(known):
        raise DataError("a path along the data needs latents of training images, got none.")
    nodes = np.concatenate([[start], known, [end]]).astype(np.float64)
    graph = kneighbors_graph(nodes, min(_N_NEIGHBOURS, len(nodes) - 1), mode="distance")
    # A sparse graph takes a length of 0 for no edge, but an end may equal a known latent.
    graph.data = np.maximum(graph.data**2, _SHORTEST)
    graph = graph.maximum(graph.T).tocsr()
    n_parts, part = connected_components(graph, directed=False)
    if n_parts > 1:
        graph = graph.maximum(_bridges(nodes, [np.flatnonzero(part == k) for k in range(n_parts)]))
    _, before = dijkstra(graph, directed=False, indices=0, return_predecessors=True)
    way = [len(nodes) - 1]
    while way[-1] != 0:
        way.append(before[way[-1]])
    return nodes[way[::-1]]


def _bridges(nodes: Float[np.ndarray, "m dims"], parts: list[Int[np.ndarray, " _"]]) -> Any:
    """Edges that connect the separate parts of the graph.

    They follow the minimum spanning tree of the parts' means. Each joins the two nearest nodes of
    two parts.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import minimum_spanning_tree
    from scipy.spatial.distance import cdist
    from sklearn.neighbors import NearestNeighbors

    means = np.stack([nodes[part].mean(0) for part in parts])
    tree = minimum_spanning_tree(np.maximum(cdist(means, means), _SHORTEST)).tocoo()
    rows, columns, lengths = [], [], []
    for a, b in zip(tree.row, tree.col, strict=True):
        search = NearestNeighbors(n_neighbors=1).fit(nodes[parts[a]])
        distance, index = search.kneighbors(nodes[parts[b]])
        k = int(np.argmin(distance))
        one, other = parts[a][index[k, 0]], parts[b][k]
        rows += [one, other]
        columns += [other, one]
        lengths += [max(distance[k, 0] ** 2, _SHORTEST)] * 2
    return coo_matrix((lengths, (rows, columns)), shape=(len(nodes), len(nodes))).tocsr()


def _resample(points: Float[np.ndarray, "m dims"], n: int) -> Float[np.ndarray, "n dims"]:
    """`n` points at equal distances along a polyline."""
    lengths = np.linalg.norm(np.diff(points, axis=0), axis=1)
    moved = np.concatenate([[True], lengths > 0])
    points, at = points[moved], np.concatenate([[0.0], np.cumsum(lengths)])[moved]
    if len(points) == 1:
        return np.repeat(points, n, axis=0)
    places = np.linspace(0, at[-1], n)
    return np.stack([np.interp(places, at, column) for column in points.T], axis=1)
