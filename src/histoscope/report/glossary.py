"""Glossary of a report: its metrics and statistics."""

from collections.abc import Iterable

WORDS = {
    "AJI": (
        "Aggregated Jaccard index: shared pixels of true and predicted nuclei over all their "
        "pixels, those of unmatched nuclei counted against it. From 0 to 1, higher is better."
    ),
    "AJI+": ("AJI with true and predicted nuclei paired one to one. From 0 to 1, higher is better."),
    "PQ": (
        "Panoptic quality: how many nuclei were found (F1) times how well their outlines fit "
        "(mean IoU). From 0 to 1, higher is better."
    ),
    "mPQ+": (
        "PQ of each class over all images as if they were one, averaged over the classes. From 0 "
        "to 1, higher is better."
    ),
    "Dice": (
        "Overlap of the pixels of all true and all predicted nuclei: twice the shared ones over "
        "the sum. From 0 to 1, higher is better; touching nuclei that are merged cost "
        "nothing."
    ),
    "F1": (
        "Share of nuclei that were found and are real: a true and a predicted nucleus match if "
        "they share more than half of their joint pixels. From 0 to 1, higher is better."
    ),
    "accuracy": ("Share of patches that were given the right class. From 0 to 1, higher is better."),
    "log loss": ("Minus the logarithm of the probability that the right class was given. 0 is best."),
    "Brier score": ("Squared distance of the probabilities from the right class. 0 is best."),
    "95 % interval": (
        "Where the value would lie for other patients of the same kind, at a confidence of 95 %. "
        "It is computed by patient, since images of one patient are alike; n is the number of "
        "patients."
    ),
    "permutation": (
        "Permutation test: how often a mean difference this large comes up if the signs of the "
        "patients' differences are drawn at random."
    ),
    "Holm": (
        "Holm's correction: of several comparisons one is small by chance more easily, so each p "
        "is raised by the number of comparisons."
    ),
    "Wilcoxon": (
        "Wilcoxon's signed rank test, which looks at the order of the patients' differences and "
        "not at their size."
    ),
    "d_z": (
        "Effect size: the mean of the patients' differences over their standard deviation. Around "
        "0.2 is small, 0.8 large."
    ),
    "SD of seeds": ("Standard deviation between trainings that differ in nothing but the random seed."),
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
