"""Glossary of a report: its metrics and statistics."""

from collections.abc import Iterable

WORDS = {
    "AJI": (
        "Aggregated Jaccard index: pixels shared by matched true and predicted nuclei, divided by all their "
        "pixels plus those of unmatched nuclei. From 0 to 1, higher is better."
    ),
    "AJI+": ("AJI with true and predicted nuclei paired one to one. From 0 to 1, higher is better."),
    "PQ": (
        "Panoptic quality: how many nuclei were found (F1) times how well their outlines fit "
        "(mean IoU). From 0 to 1, higher is better."
    ),
    "mPQ+": (
        "PQ of each class, pooled over all images, then averaged over the classes. From 0 "
        "to 1, higher is better."
    ),
    "Dice": (
        "Overlap of all true and all predicted nuclear pixels: twice the shared pixels divided by the sum "
        "of both. From 0 to 1, higher is better; merging touching nuclei is not penalised."
    ),
    "F1": (
        "Harmonic mean of precision and recall of nuclei: a true and a predicted nucleus match if their IoU "
        "is above 0.5. From 0 to 1, higher is better."
    ),
    "accuracy": ("Share of patches classified correctly. From 0 to 1, higher is better."),
    "log loss": (
        "Negative log-likelihood: minus the logarithm of the probability given to the right class. 0 is best."
    ),
    "Brier score": ("Brier score: squared distance of the probabilities from the right class. 0 is best."),
    "95 % interval": (
        "The range in which the value for patients like these is expected, at 95 % confidence. It is "
        "computed by patient, since images of one patient are alike; n is the number of "
        "patients."
    ),
    "permutation": (
        "Permutation test: how often a mean difference this large arises when the signs of the patients' "
        "differences are drawn at random."
    ),
    "Holm": (
        "Holm's correction: among several comparisons, a small p arises by chance more easily, so each p is "
        "raised according to their number."
    ),
    "Wilcoxon": (
        "Wilcoxon signed-rank test, which uses the ranks of the patients' differences, not their sizes."
    ),
    "d_z": (
        "Effect size: the mean of the patients' differences over their standard deviation. Around "
        "0.2 is small, 0.8 large."
    ),
    "SD of seeds": ("Standard deviation between training runs that differ only in the random seed."),
}


def used(metrics: Iterable[str]) -> dict[str, str]:
    """Words that a report uses: those of its metrics, and of its statistics.

    Examples
    --------
    >>> [word for word in used(["PQ", "IoU"]) if len(word) < 5]
    ['PQ', 'Holm', 'd_z']
    """
    of_metrics = [name for name in dict.fromkeys(metrics) if name in WORDS]
    statistics = ["95 % interval", "permutation", "Holm", "Wilcoxon", "d_z", "SD of seeds"]
    return {word: WORDS[word] for word in [*of_metrics, *statistics]}


def anchor(word: str) -> str:
    """Name of a word's place on the page.

    Examples
    --------
    >>> anchor("95 % interval"), anchor("AJI+")
    ('word-95-interval', 'word-aji-plus')
    """
    plain = "".join(c if c.isalnum() else " " for c in word.replace("+", " plus").lower())
    return f"word-{'-'.join(plain.split())}"
