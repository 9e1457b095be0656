"""Decoding of StarDist: candidates to nuclei, on arrays."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from histoscope import geometry
from histoscope.geometry.vote import draw_by_vote
from histoscope.labels import centroids, relabel
from histoscope.models.class_rule import ClassRule
from histoscope.types import Labels, Mask, Nuclei

REACH_UM = 0.75
"""How far outside of its polygon a nucleus may claim pixels."""
MIN_DISTANCE_PX = 1e-3
"""Networks may predict negative distances; a polygon has none."""


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """Candidate nuclei, one row each, in pixels of the output image.

    Parameters
    ----------
    points_px : (N, 2) float32
        Row and column.
    distances : (N, n_rays) float32
        To the outline, in pixels.
    probability : (N,) float32
    class_probability : (N, C + 1) float32 or None
        Background first.
    """

    points_px: NDArray[np.float32]
    distances: NDArray[np.float32]
    probability: NDArray[np.float32]
    class_probability: NDArray[np.float32] | None = None


def candidates_of(
    places: NDArray[np.int64],
    values: dict[str, NDArray[np.float32]],
    *,
    grid: int,
    scale: tuple[float, float],
) -> Candidates:
    """Candidates from the heads at some points.

    Parameters
    ----------
    places : (N, 2) int64
        Row and column of each point on the grid of the heads.
    values : dict
        ``probability`` (N, 1) logits, ``distances`` (N, n_rays), ``classes`` (N, C + 1) logits.
    grid : int
        Pixels of the network's image from one point to the next.
    scale : (float, float)
        Pixels of the output image for one pixel of the network's, down and across.
    """
    # A pixel of another resolution is an area: centres stay where they are, corners do too.
    by_axis = np.array(scale)
    offset = (by_axis - 1.0) / 2.0
    classes = None
    if "classes" in values:
        found = values["classes"].astype(np.float64)
        powers = np.exp(found - found.max(axis=1, keepdims=True, initial=-np.inf))
        classes = (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)
    return Candidates(
        (places * (grid * by_axis) + offset).astype(np.float32),
        # A star has one scale; its two sides differ by less than half a pixel in the length of the image.
        np.maximum(values["distances"] * np.float32(by_axis.mean()), np.float32(MIN_DISTANCE_PX)),
        (1.0 / (1.0 + np.exp(-values["probability"][:, 0]))).astype(np.float32),
        classes,
    )


def joined(parts: Sequence[Candidates]) -> Candidates:
    """Candidates of all tiles, in the order of a single image.

    The order matters where probabilities are equal: suppression then prefers the first.
    """
    if len(parts) == 1:
        return parts[0]
    points = np.concatenate([part.points_px for part in parts])
    order = np.lexsort((points[:, 1], points[:, 0]))
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    places = np.split(place, np.cumsum([len(part.points_px) for part in parts])[:-1])

    def spread(arrays: list[NDArray[np.float32]]) -> NDArray[np.float32]:
        # Straight to where they belong: candidates are the most that is in memory, so no third time.
        out = np.empty((len(order), *arrays[0].shape[1:]), np.float32)
        for array, rows in zip(arrays, places, strict=True):
            out[rows] = array
        return out

    classes = [part.class_probability for part in parts if part.class_probability is not None]
    return Candidates(
        points[order],
        spread([part.distances for part in parts]),
        spread([part.probability for part in parts]),
        spread(classes) if classes else None,
    )


def nuclei_of(
    candidates: Candidates,
    iou_threshold: float,
    shape: tuple[int, int],
    mpp: float,
    *,
    refine: bool = False,
    inside: Mask | None = None,
    rule: ClassRule | None = None,
) -> Nuclei:
    """Suppress, draw, refine, and let the pixels of each nucleus vote on its class.

    Parameters
    ----------
    candidates : Candidates
    iou_threshold : float
        Overlap above which the less probable of two is dropped.
    shape : (int, int)
        Height and width of the label map.
    mpp : float
        Micrometres per pixel of it.
    refine : bool
        Draw each nucleus by a vote of all polygons that were proposed for it.
    inside : (H, W) bool, optional
        Where nuclei are, to correct their outlines by.
    rule : ClassRule, optional
        How votes become classes; the class of most votes if left out.
    """
    points, distances, probability = candidates.points_px, candidates.distances, candidates.probability
    kept, winner = geometry.suppress(points, distances, probability, iou_threshold=iou_threshold)
    if refine:
        instances = draw_by_vote(points, distances, kept, winner, shape)
    else:
        instances = geometry.draw(points[kept], distances[kept], shape, probability=probability[kept])
    if inside is not None:
        instances = geometry.refine_with_mask(instances, inside, max_growth_px=max(1, round(REACH_UM / mpp)))
    instances, kept, centroid_px = _shown(instances, kept)
    class_id = np.zeros(len(kept), np.uint8)
    class_probability = None
    if candidates.class_probability is not None:
        # The background has no vote: that there is a nucleus is decided already.
        class_id, class_probability = (rule or ClassRule())(_class_votes(candidates, kept, instances))
    return Nuclei(
        centroid_px=centroid_px,
        class_id=class_id,
        probability=probability[kept],
        instances=instances,
        mpp=mpp,
        class_probability=class_probability,
    )


def _shown(
    instances: Labels, kept: NDArray[np.int64]
) -> tuple[Labels, NDArray[np.int64], NDArray[np.float32]]:
    """Drop nuclei that others hide wholly, and number the rest 1..N; with the centroids of these."""
    area, centroid_px = centroids(instances, len(kept))
    shown = area > 0
    return relabel(instances, shown)[0], kept[shown], centroid_px[shown].astype(np.float32)


def _class_votes(candidates: Candidates, kept: NDArray[np.int64], instances: Labels) -> NDArray[np.float32]:
    """Share of each class, without the background, in the votes of each nucleus.

    Each candidate that lies in the nucleus votes for the classes as sure as it is of them and of being in a
    nucleus. A nucleus without any candidate uses its own prediction.
    """
    votes = candidates.class_probability
    if votes is None:
        return np.zeros((len(kept), 0), np.float32)
    height, width = instances.shape
    places = np.rint(candidates.points_px).astype(np.int64)
    rows, columns = np.clip(places[:, 0], 0, height - 1), np.clip(places[:, 1], 0, width - 1)
    ids = instances[rows, columns]
    strength = (votes * candidates.probability[:, None]).astype(np.float64)
    total = np.stack(
        [np.bincount(ids, weights=column, minlength=len(kept) + 1)[1:] for column in strength.T[1:]], axis=1
    )
    silent = total.sum(axis=1) == 0
    total[silent] = strength[kept[silent], 1:] + 1e-12
    share: NDArray[np.float32] = (total / total.sum(axis=1, keepdims=True)).astype(np.float32)
    return share
