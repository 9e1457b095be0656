"""Sentences and labels of a report: what a comparison shows, claiming no more than the numbers support."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from histoscope.studies.factors import FACTORS
from histoscope.words import count, listed

ALPHA = 0.05
MINUS = "\N{MINUS SIGN}"

METRIC_LABELS = {
    "dice": "Dice",
    "aji": "AJI",
    "aji_plus": "AJI+",
    "pq": "PQ",
    "f1_50": "F1",
    "loss": "Loss",
    "nll": "log loss",
    "brier": "Brier score",
    "accuracy": "accuracy",
    "mpq_plus": "mPQ+",
}
MODEL_LABELS = {
    "unet": "U-Net",
    "resunet": "Residual U-Net",
    "smp": "Encoder of timm",
    "deeplab": "DeepLabV3+",
    "stardist": "StarDist",
    "all": "All groups",
}
CONDITION_LABELS = {"test": "Original test images", "external": "External test set"} | {
    "grouped": "Split by group",
    "random": "Random split",
}


class Verdict(StrEnum):
    """What a comparison with the baseline shows."""

    HELPS = "helps"
    HARMS = "harms"
    NO_DIFFERENCE = "no difference shown"
    TOO_FEW = "too few patients to say"
    NOT_MEASURED = "not measured"


class Row(NamedTuple):
    """One comparison, as people read it; `before` is the baseline's score."""

    level: str
    model: str
    difference: float
    verdict: Verdict
    before: float = math.nan


def fewest_patients(comparisons: int, *, alpha: float = ALPHA) -> int:
    """Patients below which a paired test cannot reach `alpha`, however large the effect.

    With n patients a sign-flipping test has 2^n arrangements: its smallest two-sided p is 2^(1 - n).
    Holm's correction multiplies the smallest of `comparisons` p values by their number.

    Examples
    --------
    >>> fewest_patients(1), fewest_patients(3)
    (6, 7)
    """
    return math.floor(1 + math.log2(comparisons / alpha)) + 1


@dataclass(frozen=True, slots=True)
class Difference:
    """A level minus the baseline, and what it rests on.

    Parameters
    ----------
    value, low, high : float
        Mean difference and its 95 % interval; nan where it was not measured.
    p_holm : float
        p of the paired permutation test after Holm's correction.
    patients, seeds : int
        That both the level and the baseline have.
    comparisons : int
        In the family that p was corrected for.
    agreeing : int or None
        Seeds whose own difference has the sign of the mean; None for all of them.
    unit : str
        What is independent: "patient", or the unit used instead where patients are not recorded.
    before : float
        The baseline's score; nan where it is not known.
    """

    value: float
    low: float
    high: float
    p_holm: float
    patients: int
    seeds: int = 1
    comparisons: int = 1
    agreeing: int | None = None
    unit: str = "patient"
    before: float = math.nan

    @property
    def disagree(self) -> bool:
        """Whether some seed points the other way."""
        return self.agreeing is not None and self.agreeing < self.seeds


def judge(found: Difference, *, higher_is_better: bool = True) -> Verdict:
    """Judge what a difference shows.

    A level helps or harms only if the interval leaves out zero, the corrected p is below 0.05, and every seed
    points the same way: the first two ask whether other patients would say the same, the third whether
    another training would. Fewer patients than `fewest_patients` could not show anything.

    Examples
    --------
    >>> str(judge(Difference(0.03, 0.01, 0.05, 0.004, patients=14)))
    'helps'
    >>> str(judge(Difference(0.012, -0.004, 0.029, 0.18, patients=14)))
    'no difference shown'
    >>> str(judge(Difference(0.3, 0.2, 0.4, 0.25, patients=3)))
    'too few patients to say'
    """
    if not math.isfinite(found.value):
        return Verdict.NOT_MEASURED
    if found.patients < fewest_patients(found.comparisons):
        return Verdict.TOO_FEW
    clear = math.isfinite(found.p_holm) and found.p_holm < ALPHA and (found.low > 0 or found.high < 0)
    if not clear or found.disagree:
        return Verdict.NO_DIFFERENCE
    return Verdict.HELPS if (found.value > 0) == higher_is_better else Verdict.HARMS


def sentence(subject: str, metric: str, found: Difference, verdict: Verdict) -> str:
    """Say one comparison in plain words.

    Examples
    --------
    >>> found = Difference(0.012, -0.004, 0.029, 0.18, patients=14, seeds=3)
    >>> print(sentence("Macenko normalisation", "AJI", found, judge(found)))
    Macenko normalisation changed AJI by +0.012 (95 % interval −0.004 to +0.029, 14 patients, 3 seeds,
    p = 0.18): no difference is shown.
    """
    if verdict is Verdict.NOT_MEASURED:
        return f"{subject}: not measured, because runs are missing or {metric} is undefined on every image."
    who = f"{count(found.patients, found.unit)}, {count(found.seeds, 'seed')}"
    change = f"{subject} changed {metric} by {_moved(found.value, found.before)}"
    if verdict is Verdict.TOO_FEW:
        return (
            f"{change} ({who}): too few {found.unit}s to say; "
            f"at least {fewest_patients(found.comparisons)} are needed before any difference could be shown."
        )
    interval = f"95 % interval {span(found.low, found.high)}, " if math.isfinite(found.low) else ""
    numbers = f"{interval}{who}, {p_text(found.p_holm)}"
    return f"{change} ({numbers}): {_ending(verdict, found)}."


def _moved(difference: float, before: float) -> str:
    """Write a difference, and from where to where."""
    if not math.isfinite(before):
        return signed(difference)
    return f"{signed(difference)}, from {number(before)} to {number(before + difference)}"


def because(verdict: Verdict, found: Difference) -> str:
    """Say in a few words what a verdict rests on, for a table.

    Examples
    --------
    >>> found = Difference(0.012, -0.004, 0.029, 0.18, patients=14, seeds=3)
    >>> because(judge(found), found)
    'the interval includes zero'
    """
    if verdict in {Verdict.HELPS, Verdict.HARMS}:
        return f"in {count(found.seeds, 'seed')}" if found.seeds == 1 else f"in all {found.seeds} seeds"
    if verdict is Verdict.TOO_FEW:
        return f"{fewest_patients(found.comparisons)} are needed"
    return "" if verdict is Verdict.NOT_MEASURED else _doubt(found)


def _doubt(found: Difference) -> str:
    if not math.isfinite(found.low):
        return "no interval"
    if not (found.low > 0 or found.high < 0):
        return "the interval includes zero"
    if not found.p_holm < ALPHA:
        return f"p is not below {ALPHA:g}"
    return f"only {found.agreeing} of {found.seeds} seeds point that way"


def _ending(verdict: Verdict, found: Difference) -> str:
    if verdict in {Verdict.HELPS, Verdict.HARMS}:
        return f"it {verdict}" + (", in the one training run compared" if found.seeds == 1 else "")
    excludes_zero = found.low > 0 or found.high < 0
    if excludes_zero and not found.p_holm < ALPHA:
        corrected = (
            f", corrected for {count(found.comparisons, 'comparison')}," if found.comparisons > 1 else ""
        )
        return f"no difference is shown, as the test{corrected} does not confirm what the interval suggests"
    if excludes_zero and found.disagree:
        return f"no difference is shown, as only {found.agreeing} of {found.seeds} seeds point that way"
    return "no difference is shown"


def overall(
    found: Sequence[Row], metric: str, noun: str, axis: str = "network", *, unit: str = "patient"
) -> str:
    """All comparisons of one condition in a sentence or two.

    Parameters
    ----------
    found : sequence of Row
        Of one condition.
    metric, noun : str
        Label of the metric, and what the levels are ("normalisation").
    axis : str
        What the comparison is repeated with.
    unit : str
        What is independent.

    Examples
    --------
    >>> helps = ("Macenko", "U-Net", 0.03, Verdict.HELPS)
    >>> nothing = ("Reinhard", "U-Net", 0.0, Verdict.NO_DIFFERENCE)
    >>> print(overall([helps, nothing], "AJI", "normalisation"))
    Macenko helps (AJI +0.030). No other difference is shown.
    >>> print(overall([("Macenko", "U-Net", 0.01, Verdict.NO_DIFFERENCE)], "AJI", "normalisation"))
    Macenko normalisation is not shown to change AJI.
    """
    found = [Row(*row) for row in found]
    verdicts = [row.verdict for row in found]
    if not found or set(verdicts) == {Verdict.NOT_MEASURED}:
        return "Not measured yet."
    models = len({row.model for row in found})
    decided = {
        verdict: [row for row in found if row.verdict is verdict]
        for verdict in (Verdict.HELPS, Verdict.HARMS)
    }
    parts = [text for verdict, rows in decided.items() for text in _who(rows, verdict, metric, models, axis)]
    rest = [verdict for verdict in verdicts if verdict not in {Verdict.HELPS, Verdict.HARMS}]
    endings = {
        Verdict.NO_DIFFERENCE: "No other difference is shown." if parts else _nothing(found, metric, noun),
        Verdict.TOO_FEW: f"Too few {unit}s to say whether {noun or 'a level'} changes {metric}.",
        Verdict.NOT_MEASURED: "Some comparisons are not measured yet.",
    }
    sentences = [f"{part}." for part in parts] + [
        text for verdict, text in endings.items() if verdict in rest
    ]
    return " ".join(sentences)


def _who(rows: Sequence[Row], verb: str, metric: str, models: int, axis: str) -> list[str]:
    """Each level once, with its models and differences."""
    texts = []
    for level in _unique(row.level for row in rows):
        mine = [row for row in rows if row.level == level]
        moved = [_moved(row.difference, row.before) for row in mine]
        known = any(math.isfinite(row.before) for row in mine)
        changes = "; ".join(moved) if known else listed(moved)
        if models == 1:
            texts.append(f"{level} {verb} ({metric} {changes})")
        else:
            every = f"both {axis}s" if models == 2 else f"all {models} {axis}s"
            where = every if len(mine) == models else listed([row.model for row in mine])
            texts.append(f"{level} {verb} with {where} ({metric} {changes})")
    return texts


def _nothing(found: Sequence[Row], metric: str, noun: str) -> str:
    levels = _unique(row.level for row in found if row.verdict is Verdict.NO_DIFFERENCE)
    if len(levels) == 1:
        return f"{levels[0]} {noun} is not shown to change {metric}."
    return f"None of {listed(levels, last='and')} is shown to change {metric}."


def metric_label(name: str) -> str:
    """Metric as people write it."""
    if name in METRIC_LABELS:
        return METRIC_LABELS[name]
    score, _, of_class = name.partition("_")
    return (
        f"{score.upper()} of {readable(of_class).lower()}"
        if score in {"pq", "f1"} and of_class
        else readable(name)
    )


def model_label(name: str) -> str:
    """Model as people write it, or size of a training part: ``groups_16`` is "16 groups a class"."""
    if name.startswith("groups_"):
        return f"{name.removeprefix('groups_')} groups a class"
    return MODEL_LABELS.get(name, name)


def condition_label(name: str) -> str:
    """Condition as people write it: ``shift_purple`` is "Stain shift: purple"."""
    if name.startswith("external_"):
        return f"External test set: {name.removeprefix('external_').replace('_', ' ')}"
    if name.startswith("shift_"):
        return f"Stain shift: {name.removeprefix('shift_').replace('_', ' ')}"
    return CONDITION_LABELS.get(name, readable(name))


def level_label(name: str, factor: str) -> str:
    """Level as people write it; "none" says what there is none of."""
    if factor in FACTORS and name in FACTORS[factor].labels:
        return FACTORS[factor].labels[name]
    if name in {"none", "off"}:
        return f"No {factor_noun(factor)}"
    return readable(name)


def factor_label(name: str) -> str:
    """Factor as people write it."""
    return FACTORS[name].label if name in FACTORS else name.replace("_", " ")


def factor_noun(name: str) -> str:
    """Short noun to put after the name of a level: "Macenko normalisation"."""
    return FACTORS[name].noun if name in FACTORS else name.replace("_", " ")


def axis(factor: str) -> str:
    """What the comparison of a factor's levels is repeated with: networks, or sizes of the training part."""
    return "size" if factor in {"initial_weights", "begin"} else "network"


def readable(name: str) -> str:
    """Turn an identifier into words, first letter large, lone letters too.

    Examples
    --------
    >>> readable("lab_b"), readable("weight_decay")
    ('Lab B', 'Weight decay')
    """
    first, *rest = name.replace("_", " ").split() or [""]
    return " ".join(
        [first[:1].upper() + first[1:], *(word.upper() if len(word) == 1 else word for word in rest)]
    )


def small(text: str) -> str:
    """Make the first letter small, for the middle of a sentence."""
    return text[:1].lower() + text[1:]


def number(value: float, digits: int = 3) -> str:
    """Write a number with a true minus sign; a dash for nan."""
    return f"{value:.{digits}f}".replace("-", MINUS) if math.isfinite(value) else "–"


def signed(value: float, digits: int = 3) -> str:
    """Write a number that always shows its sign, but for zero.

    Examples
    --------
    >>> signed(0.0124), signed(-0.0301), signed(-0.0001)
    ('+0.012', '−0.030', '0.000')
    """
    if not math.isfinite(value):
        return "–"
    text = f"{value:+.{digits}f}"
    return text[1:] if not text.strip("+-0.") else text.replace("-", MINUS)


def span(low: float, high: float, digits: int = 3) -> str:
    """Write an interval of a difference, its ends with their signs."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return "not defined"
    return f"{signed(low, digits)} to {signed(high, digits)}"


def p_text(value: float) -> str:
    """Write a p value as papers print it.

    Examples
    --------
    >>> p_text(0.18), p_text(0.0421), p_text(0.00002), p_text(float("nan"))
    ('p = 0.18', 'p = 0.042', 'p < 0.001', 'p not defined')
    """
    if not math.isfinite(value):
        return "p not defined"
    if value < 0.001:
        return "p < 0.001"
    return f"p = {value:.3f}" if value < 0.1 else f"p = {value:.2f}"


def p_cell(value: float) -> str:
    """Write a p value for a table: without the letter."""
    return "–" if not math.isfinite(value) else p_text(value).removeprefix("p ").removeprefix("= ")


def _unique(values: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(values))
