from histoscope.metrics import METRICS, PATCH_METRICS, class_scores, per_image, range_of


def test_ranges_are_those_of_the_datasheets():
    for name, sheet in {**METRICS, **PATCH_METRICS}.items():
        assert range_of(name) == sheet.range, name


def test_every_score_of_a_table_has_a_range_and_no_count_has():
    maps = [[1, 1, 0, 2]], [[1, 1, 0, 2]]
    row = per_image(*maps) | class_scores(*maps, [0, 1, 1], [0, 1, 1], ["misc"], mpp=0.25)
    scores = {name for name in row if range_of(name) is not None}
    assert scores == set(METRICS) | {"pq_misc", "f1_misc", "detection_f1_misc"}
