"""Groups proposed from pictures: the known ones are found again, and chance links chain nothing."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from histoscope import data
from histoscope.data.leaks.copies import Copy, Turn
from histoscope.data.leaks.groups import compare_groups, joined_by, near_pairs
from histoscope.errors import ConfigError, DataError, ShapeError
from histoscope.files import write_image
from histoscope.types import Record, Sample


def _photograph(seed: int, side: int = 160) -> Pillow.Image:
    small = np.random.default_rng(seed).integers(60, 250, (20, 20, 3)).astype(np.uint8)
    return Pillow.fromarray(small).resize((side, side), Pillow.Resampling.BICUBIC)


def _copy(photograph: Pillow.Image, rng: np.random.Generator) -> np.ndarray:
    """Flip, turn by up to 25 degrees and cut the corners off, as LC25000 was made; save as JPEG."""
    if rng.random() < 0.5:
        photograph = photograph.transpose(Pillow.Transpose.FLIP_LEFT_RIGHT)
    angle = rng.uniform(-25, 25)
    side = photograph.width
    inner = side / (np.cos(np.radians(abs(angle))) + np.sin(np.radians(abs(angle))))
    margin = (side - inner) / 2
    turned = photograph.rotate(angle, Pillow.Resampling.BICUBIC)
    turned = turned.crop((margin, margin, side - margin, side - margin)).resize((side, side))
    stream = io.BytesIO()
    turned.save(stream, "JPEG", quality=80)
    return np.asarray(Pillow.open(stream))


def _patches(n_photographs: int = 8, n_copies: int = 4) -> data.InMemory:
    rng = np.random.default_rng(0)
    samples, records = [], []
    for photograph in range(n_photographs):
        for copy in range(n_copies):
            name = f"p{photograph}_{copy}"
            image = _copy(_photograph(photograph), rng)
            samples.append(Sample(image=image, mpp=1, name=name, label=photograph % 2))
            records.append(Record(name, source=f"photo{photograph}", label=photograph % 2))
    info = data.Datasheet("made", mpp=1, classes={0: "a", 1: "b"})
    return data.InMemory(info, records, samples)


def test_the_known_groups_are_found_again() -> None:
    dataset = _patches()
    seen: list[tuple[int, int]] = []
    groups = data.propose_groups(dataset, progress=lambda *now: seen.append(now))
    assert groups.agreement is not None
    assert groups.agreement.adjusted_rand == 1
    assert (len(groups), groups.sizes, groups.unreadable) == (8, {4: 8}, ())
    assert seen[-1] == (32, 32)
    assert "32 patches" in str(groups)
    assert "adjusted Rand 1.000" in str(groups)
    assert [r.name for r in groups.records] == [r.name for r in dataset.records]


def test_photographs_that_overlap_are_joined_unless_copies_alone_are_asked_for() -> None:
    wide = np.asarray(_photograph(3, 256))
    images = [wide[:, :160], wide[:, 96:], np.rot90(wide[:, :160])]
    samples = [Sample(image=np.ascontiguousarray(i), mpp=1, name=f"n{k}") for k, i in enumerate(images)]
    dataset = data.InMemory.of(samples, data.Datasheet("made", mpp=1))
    assert len(data.propose_groups(dataset)) == 1
    copies = data.propose_groups(dataset, min_overlap=0.6)
    assert [record.source for record in copies.records] == ["group0", "group1", "group0"]
    assert copies.agreement is None


def test_groups_are_written_as_an_index_for_class_folder(
    tmp_path: Path, truncate: Callable[[Path], None]
) -> None:
    for sample in _patches(4, 3):
        write_image(tmp_path / "images" / "ab"[sample.label] / f"{sample.name}.png", sample.image)
    truncate(tmp_path / "images" / "b" / "p1_2.png")
    (tmp_path / "images" / "a" / "p0_2.png").rename(tmp_path / "images" / "b" / "x.png")
    index = [
        f"{kind}/{p.name},{kind}" for kind in "ab" for p in sorted((tmp_path / "images" / kind).iterdir())
    ]
    (tmp_path / "index.csv").write_text("path,class\n" + "\n".join(index))
    dataset = data.open("class_folder", tmp_path, mpp=1)
    groups = data.propose_groups(dataset)
    assert groups.unreadable == ("b__p1_2",)
    assert [problem.message for problem in groups.conflicts] == ["one group with 2 classes: 2 a, 1 b"]
    assert "could not be read" in str(groups)
    data.write_groups(tmp_path / "groups.csv", dataset, groups)
    again = data.open("class_folder", tmp_path, mpp=1, index=tmp_path / "groups.csv")
    assert [(r.name, r.source, r.label) for r in again.records] == [
        (r.name, r.source, r.label) for r in groups.records
    ]
    split = data.split_by(again, "source", train=1, val=0, test=1)
    assert data.audit(split.parts()).clean


def test_patches_that_are_no_files_are_not_written(tmp_path: Path) -> None:
    dataset = _patches(2, 2)
    with pytest.raises(DataError, match="are not files in one folder"):
        data.write_groups(tmp_path / "groups.csv", dataset, data.propose_groups(dataset))


def test_wrong_options() -> None:
    dataset = _patches(1, 2)
    for options in ({"min_similarity": 0}, {"min_overlap": 1.1}):
        with pytest.raises(ConfigError, match="expected a correlation"):
            data.propose_groups(dataset, **options)
    with pytest.raises(ShapeError, match="a row for each of 2 patches"):
        data.propose_groups(dataset, features=np.zeros((3, 8)))


def test_neighbours_by_features_are_compared() -> None:
    features = np.zeros((40, 40))
    features[np.arange(40), np.arange(40) // 2] = 1
    pairs = near_pairs(features)
    assert {(k, k + 1, flip) for k in range(0, 40, 2) for flip in (0, 1)} <= set(map(tuple, pairs.tolist()))
    assert (pairs[:, 0] < pairs[:, 1]).all()
    groups = data.propose_groups(_patches(4, 2), features=np.eye(8))
    assert groups.agreement is not None
    assert groups.agreement.adjusted_rand == 1
    assert near_pairs(np.zeros((1, 3))).shape == (0, 3)


# -------------------------------------------------------------------------------------- joining by links


def _link(left: int, right: int, n_matches: int) -> Copy:
    return Copy(left, right, Turn(), n_matches, 1.0, 1.0)


def _clique(members: range) -> list[Copy]:
    return [_link(a, b, 90) for a in members for b in members if a < b]


def _sets(links: list[Copy], n: int) -> set[frozenset[int]]:
    group = joined_by(links, n)
    return {frozenset(np.flatnonzero(group == name).tolist()) for name in set(group.tolist())}


def test_one_weak_link_does_not_chain_two_groups() -> None:
    two = _clique(range(5)) + _clique(range(5, 10))
    apart = {frozenset(range(5)), frozenset(range(5, 10))}
    together = {frozenset(range(10))}
    assert _sets([*two, _link(0, 5, 9)], 10) == apart
    assert _sets([*two, _link(0, 5, 40)], 10) == together
    assert _sets([*two, *(_link(k, k + 5, 9) for k in range(3))], 10) == together
    assert _sets([_link(0, 1, 9)], 3) == {frozenset({0, 1}), frozenset({2})}


def test_weak_links_of_groups_that_were_joined_count_together() -> None:
    # 3 + 3 join by a strong link; the weak links of both halves to the third group then add up.
    links = _clique(range(3)) + _clique(range(3, 6)) + _clique(range(6, 10)) + [_link(0, 3, 50)]
    assert len(_sets([*links, _link(0, 6, 9), _link(3, 7, 9)], 10)) == 2
    assert len(_sets([*links, _link(0, 6, 9), _link(3, 7, 9), _link(4, 8, 9)], 10)) == 1


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11), st.integers(8, 60)), max_size=40),
    st.randoms(use_true_random=False),
)
def test_groups_lie_within_what_is_connected_and_order_does_not_matter(
    drawn: list[tuple[int, int, int]], random: object
) -> None:
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    best = {(min(a, b), max(a, b)): n for a, b, n in drawn if a != b}
    links = [_link(a, b, n) for (a, b), n in best.items()]
    found = _sets(links, 12)
    assert sum(map(len, found)) == 12
    rows, columns = [link.left for link in links], [link.right for link in links]
    _, part = connected_components(coo_array((np.ones(len(links)), (rows, columns)), shape=(12, 12)))
    assert all(len({part[place] for place in members}) == 1 for members in found)
    strong = [link for link in links if link.n_matches >= 20]
    group = joined_by(links, 12)
    assert all(group[link.left] == group[link.right] for link in strong)
    random.shuffle(links)
    assert _sets(links, 12) == found


# ------------------------------------------------------------------------------------------- agreement


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=2, max_size=40))
def test_agreement_is_that_of_counting_pairs(drawn: list[tuple[int, int]]) -> None:
    true, proposed = [f"t{a}" for a, _ in drawn], [f"p{b}" for _, b in drawn]
    found = compare_groups(true, proposed)
    pairs = [(a, b) for a in range(len(drawn)) for b in range(a)]
    together = [(true[a] == true[b], proposed[a] == proposed[b]) for a, b in pairs]
    for value, given_ in ((found.pair_recall, 0), (found.pair_precision, 1)):
        of = [pair for pair in together if pair[given_]]
        assert value == pytest.approx(np.mean([all(pair) for pair in of]) if of else np.nan, nan_ok=True)


def test_agreement_needs_as_many() -> None:
    with pytest.raises(DataError, match="2 true and 1 proposed"):
        compare_groups(["a", "b"], ["a"])
