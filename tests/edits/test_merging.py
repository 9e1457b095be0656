"""Merging: the order of reading never matters, the latest wins, undos can be undone, differences are told."""

from hypothesis import given
from hypothesis import strategies as st

from histoscope.edits import Edit, merged

NAMES = ("n1", "n2", "n3")


def square(x, side=10.0):
    return ((x, 0.0), (x + side, 0.0), (x + side, side), (x, side))


@st.composite
def histories(draw):
    """Edits of two or three people, some at the same time, undos of any of them and of each other."""
    made = []
    for k in range(draw(st.integers(0, 14))):
        kind = draw(st.sampled_from(["confirm", "reclassify", "delete", "draw", "undo", "undo"]))
        if kind == "undo" and not made:
            continue
        about = {
            "id": f"e{k}",
            "time": f"2026-11-29T18:00:{draw(st.integers(0, 3)) + k // 4 * 4:02d}.000000Z",
        }
        author = draw(st.sampled_from(["ada", "bob", "cy"]))
        drawn = [one.id for one in made if one.kind == "draw"]
        name = draw(st.sampled_from([*NAMES, *drawn]))
        what = {
            "confirm": {"nucleus": name, "centre_px": (1.0, 1.0)},
            "reclassify": {
                "nucleus": name,
                "centre_px": (1.0, 1.0),
                "class_name": draw(st.sampled_from("ab")),
            },
            "delete": {"nucleus": name, "centre_px": (1.0, 1.0)},
            "draw": {"polygon_px": square(float(draw(st.integers(0, 30))))},
            "undo": {"undoes": draw(st.sampled_from([one.id for one in made] or ["none"]))},
        }[kind]
        made.append(Edit(kind=kind, author=author, **about, **what))
    return made


@given(made=histories(), data=st.data())
def test_the_order_of_reading_never_matters(made, data):
    other = data.draw(st.permutations(made))
    twice = data.draw(st.lists(st.sampled_from(made), max_size=5)) if made else []
    assert merged(other + twice) == merged(made)


@given(made=histories())
def test_no_two_drawn_nuclei_are_one(made):
    from histoscope.edits.merging import SAME_IOU, iou, polygons_of

    shapes = list(polygons_of(merged(made).drawn.values()))
    assert all(iou(a, b) <= SAME_IOU for k, a in enumerate(shapes) for b in shapes[:k])


@given(made=histories(), depth=st.integers(1, 5))
def test_an_undo_of_an_undo_is_as_if_neither_were(made, depth, edit):
    before = merged(made)
    last = edit(second=40, nucleus="n1")
    chain = [last]
    for k in range(depth):
        chain.append(edit("undo", second=41 + k, undoes=chain[-1].id))
    after, counts = merged([*made, *chain]), depth % 2 == 0
    expected = merged([*made, last]) if counts else before
    assert (after.found, after.drawn, after.regions) == (expected.found, expected.drawn, expected.regions)


def test_the_latest_wins_whoever_it_is_of(edit):
    said = [
        edit("reclassify", "ada", 1, class_name="a"),
        edit("delete", "bob", 2),
        edit("reclassify", "cy", 3, class_name="b"),
    ]
    assert merged(said).found["n1"].class_name == "b"
    assert merged(said[:2]).deleted == {"n1"}


def test_of_equal_times_the_later_author_and_then_the_higher_id_wins(edit):
    ada, bob = (edit("reclassify", name, 1, class_name=name) for name in ("ada", "bob"))
    assert merged([bob, ada]).found["n1"] == bob
    first, second = (edit("reclassify", second=1, id=name, class_name=name) for name in "xy")
    assert merged([second, first]).found["n1"] == second


def test_people_who_differ_are_listed_and_those_who_agree_are_not(edit):
    one = edit("reclassify", "ada", 1, class_name="a")
    assert not merged([one, edit("confirm", "bob", 2, class_name="a")]).conflicts
    state = merged([one, edit("delete", "bob", 2)])
    assert [(each.nucleus, [e.author for e in each.edits]) for each in state.conflicts] == [
        ("n1", ["ada", "bob"])
    ]
    # Who changes their own mind has no conflict, also with what they said before.
    assert not merged([one, edit("delete", "ada", 2)]).conflicts
    assert not merged([one, edit("delete", "bob", 2), edit("delete", "ada", 3)]).conflicts


def test_a_drawn_nucleus_can_be_classed_and_deleted_by_others(edit):
    drawn = edit("draw", "ada", 1, polygon_px=square(0), class_name="a")
    said = [drawn, edit("reclassify", "bob", 2, nucleus=drawn.id, class_name="b")]
    state = merged(said)
    assert state.drawn[drawn.id].class_name == "b"
    assert state.drawn[drawn.id].polygon_px == square(0)
    assert [one.nucleus for one in state.conflicts] == [drawn.id]
    state = merged([*said, edit("delete", "ada", 3, nucleus=drawn.id)])
    assert not state.drawn
    assert not state.found


def test_edits_of_a_drawing_that_was_taken_back_are_lost_not_applied(edit):
    drawn = edit("draw", "ada", 1, polygon_px=square(0))
    later = edit("reclassify", "bob", 2, nucleus=drawn.id, class_name="b")
    state = merged([drawn, later, edit("undo", "ada", 3, undoes=drawn.id)])
    assert (state.found, state.drawn, state.lost) == ({}, {}, (later,))


def test_one_nucleus_that_two_drew_is_one_and_told(edit):
    first = edit("draw", "ada", 1, polygon_px=square(0))
    second = edit("draw", "bob", 2, polygon_px=square(1))
    apart = edit("draw", "bob", 3, polygon_px=square(8))
    state = merged([apart, second, first])
    assert set(state.drawn) == {second.id, apart.id}
    assert [one.edits for one in state.conflicts] == [(first, second)]
    # Taken back, the other counts.
    assert set(merged([apart, second, first, edit("undo", "bob", 4, undoes=second.id)]).drawn) == {
        first.id,
        apart.id,
    }


def test_one_who_draws_twice_has_no_conflict(edit):
    twice = [edit("draw", "ada", k, polygon_px=square(0)) for k in (1, 2)]
    assert set(merged(twice).drawn) == {twice[1].id}
    assert not merged(twice).conflicts


def test_regions_are_kept_and_can_be_taken_back(edit):
    region = edit("confirm", second=1, polygon_px=square(0, 200.0), results="r")
    assert merged([region]).regions == (region,)
    assert merged([region, edit("undo", second=2, undoes=region.id)]).regions == ()


def test_undos_of_nothing_are_lost(edit):
    odd = [
        edit("undo", second=1, undoes="nobody"),
        edit("undo", second=2, undoes="ada3undo"),  # of a later one
        edit("undo", second=3, undoes="ada3undo"),  # of itself
    ]
    assert merged([*odd, edit(second=4)]).lost == tuple(odd)


def test_nothing_is_nothing():
    state = merged([])
    assert (len(state), state.latest, state.conflicts) == (0, "", ())
