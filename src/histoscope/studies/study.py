"""What a study is: a question, the one thing that is changed, and what the answers are measured on.

A study trains the same networks on the same images under each level of one factor, with several seeds,
and tests every trained network on the same images. Each level x model x seed is a run.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from histoscope.renamed import renamed
from histoscope.studies import beginnings, synthetic

Vectors: TypeAlias = tuple[tuple[float, float, float], tuple[float, float, float]]


# Median over MoNuSeg of the stains that Macenko's method finds.
TYPICAL: Vectors = ((0.58, 0.72, 0.37), (0.17, 0.85, 0.46))


@renamed(elsewhere="external")
@dataclass(frozen=True, slots=True)
class Condition:
    """Images that every trained network is tested on.

    Parameters
    ----------
    name : str
        Stands in the ``condition`` column of the results.
    about : str
        One sentence for people.
    only : (str, str), optional
        A column of the index and its value, such as ``("lab", "B")``: test images without it are left out.
    stains : pair of 3-vectors, optional
        What the density of a typical haematoxylin and eosin (`TYPICAL`) becomes; None leaves the hues.
    amounts : (float, float), optional
        How many times as much haematoxylin and eosin; None, with no `stains`, leaves the images as they are.
    external : bool
        Images of an external test set, which the configuration names under ``external``.
    """

    name: str
    about: str
    only: tuple[str, str] | None = None
    stains: Vectors | None = None
    amounts: tuple[float, float] | None = None
    external: bool = False

    @property
    def shifted(self) -> bool:
        """Whether the images are re-stained."""
        return self.stains is not None or self.amounts is not None


@dataclass(frozen=True, slots=True)
class Study:
    """The declaration of a study.

    Parameters
    ----------
    name, question : str
        Name, and research question in one sentence.
    factor : str
        The one thing that changes between compared runs: a key of ``factors.FACTORS``.
    levels : tuple of str
        Its values: levels of that factor.
    baseline : str
        The level that the others are compared with.
    models : tuple of str
        The second factor: networks that the comparison is repeated with.
    seeds : tuple of int
        Each level is trained once with each.
    metric : str
        The primary metric, chosen before looking: a key of ``metrics.per_image``.
    conditions : tuple of Condition
        What the trained networks are tested on.
    primary_condition : str
        The condition that answers the question.
    reference : str
        The published study that it repeats or extends, with DOI; empty if there is none.
    task : str
        A key of `studies.task.TASKS`, or ``package.module:Name``: ``nuclei`` finds nuclei, ``patches``
        classifies patches, and `models` are sizes of the training part then.

    Examples
    --------
    >>> from histoscope.studies import STUDIES
    >>> STUDIES["stain"].levels
    ('none', 'reinhard', 'macenko', 'vahadane')
    """

    name: str
    question: str
    factor: str
    levels: tuple[str, ...]
    baseline: str
    models: tuple[str, ...]
    seeds: tuple[int, ...]
    metric: str
    conditions: tuple[Condition, ...]
    primary_condition: str = "test"
    reference: str = ""
    task: str = "nuclei"

    def condition(self, name: str) -> Condition:
        """Look up a condition."""
        return next(condition for condition in self.conditions if condition.name == name)


@dataclass(frozen=True, slots=True, order=True)
class Run:
    """One cell of a study.

    Examples
    --------
    >>> Run("macenko", "unet", 0).name
    'macenko-unet-seed0'
    """

    level: str
    model: str
    seed: int

    @property
    def name(self) -> str:
        """Name of the run and of its folder; never changes."""
        return f"{self.level}-{self.model}-seed{self.seed}".replace(":", ".")  # not all disks take a colon


def runs(levels: Sequence[str], models: Sequence[str], seeds: Sequence[int]) -> Iterator[Run]:
    """Every cell; seeds turn slowest, so a study that is cut short has whole comparisons.

    Examples
    --------
    >>> [run.name for run in runs(["none", "macenko"], ["unet"], [0, 1])]
    ['none-unet-seed0', 'macenko-unet-seed0', 'none-unet-seed1', 'macenko-unet-seed1']
    """
    for seed in seeds:
        for level in levels:
            for model in models:
                yield Run(level, model, seed)


TEST = Condition("test", "the test images as they are")

STAIN = Study(
    name="stain",
    question="Does stain normalisation help a network segment nuclei, and protect it against another stain?",
    factor="normalizer",
    levels=("none", "reinhard", "macenko", "vahadane"),
    baseline="none",
    models=("unet", "resunet"),
    seeds=(0, 1, 2),
    metric="aji",
    conditions=(
        TEST,
        Condition(
            "shift_purple",
            "both stains shifted towards blue-purple, as with another haematoxylin",
            stains=((0.72, 0.64, 0.26), (0.42, 0.84, 0.34)),
            amounts=(1.1, 1.0),
        ),
        Condition(
            "shift_faint",
            "half of both stains, as after short staining or in a thin section",
            amounts=(0.5, 0.5),
        ),
        Condition(
            "shift_pink",
            "less haematoxylin and more, redder eosin",
            stains=((0.54, 0.76, 0.36), (0.14, 0.84, 0.52)),
            amounts=(0.85, 1.3),
        ),
    ),
    reference=(
        "Yildirim et al., SIU 2022: nuclei segmentation with U-Net and ResUNet before and after three stain "
        "normalisations; Macenko came out best"
    ),
)

COLOUR = Study(
    name="colour",
    question="Trained at some hospitals, which remedy for colour helps a network find nuclei at others?",
    factor="colour",
    levels=("none", "brightness_hue", "stain_jitter", "macenko"),
    baseline="none",
    models=("stardist",),
    seeds=(0, 1, 2),
    metric="aji",
    conditions=STAIN.conditions,
    reference=(
        "Tellez et al., Medical Image Analysis 58, 2019, doi:10.1016/j.media.2019.101544: stain augmentation "
        "mattered more than normalisation"
    ),
)

IMBALANCE = Study(
    name="imbalance",
    question="Which remedy for class imbalance helps a network with the rare class, and what does it cost?",
    factor="balance",
    levels=("none", "weights", "augmentation", "both"),
    baseline="none",
    models=("stardist",),
    seeds=(0, 1, 2),
    metric="mpq_plus",
    conditions=(TEST,),
    reference=(
        "Weigert and Schmidt, ISBIC 2022, doi:10.1109/ISBIC56247.2022.9854534: oversampling of the four "
        "rarest classes"
    ),
)

STARDIST = Study(
    name="stardist",
    question="How much do masks, more rays, an encoder, test-time augmentation and votes improve StarDist?",
    factor="stardist",
    levels=("published", "rays32", "rays64", "turned", "refined", "turned_refined"),
    baseline="rays32",
    models=("stardist",),
    seeds=(0, 1, 2),
    metric="pq",
    conditions=(TEST,),
    reference="Weigert and Schmidt, ISBIC 2022, doi:10.1109/ISBIC56247.2022.9854534",
)

EXTERNAL = Condition(
    "external",
    "an external test set: images from another laboratory, which no network has seen",
    external=True,
)

SYNTHETIC = Study(
    name="synthetic",
    question="How many labelled tiles does synthetic tissue save, and does it help at another laboratory?",
    factor="tissue",
    levels=synthetic.LEVELS,
    baseline="real_2",
    models=("unet", "resunet", "deeplab"),
    seeds=(0, 1, 2),
    metric="aji",
    conditions=(TEST, EXTERNAL),
    reference=(
        "Hossain and Sakib, IEEE CSPA 2020: three networks for nuclei of renal cells, trained on synthetic "
        "and on actual images"
    ),
)

TRANSFER = Study(
    name="transfer",
    question="What does a patch classifier gain from pretraining, and how much of that is leakage?",
    factor="initial_weights",
    levels=(
        *("scratch", "synthetic", "self_supervised", "imagenet_probe", "imagenet_tuned"),
        *("colour", "majority"),
    ),
    baseline="scratch",
    models=("groups_16", "groups_64", "all"),
    seeds=(0, 1, 2),
    metric="accuracy",
    conditions=(
        Condition("grouped", "patches of photographs from which no training patch comes"),
        Condition("random", "patches split at random, so copies of them are in the training part"),
    ),
    primary_condition="grouped",
    reference=(
        "Naga Raju and Srinivasa Rao, iSSSC 2022: colon cancer with and without transfer learning, accuracy "
        "99.98 and 99.95 % under a random split"
    ),
    task="patches",
)

TRANSFER_NUCLEI = Study(
    name="transfer_nuclei",
    question="What does a network that finds nuclei gain from pretraining, with few labels and with many?",
    factor="beginning",
    levels=tuple(beginnings.LEVELS),
    baseline="scratch_2",
    models=("stardist",),
    seeds=(0, 1, 2),
    metric="aji",
    conditions=(TEST, EXTERNAL),
    reference=(
        "He, Girshick and Dollar, ICCV 2019, arXiv:1811.08883: networks trained from random weights detect "
        "objects just as well, given enough time and labels"
    ),
)

DEMO = Study(
    name="demo",
    question="Trained on one laboratory's stain, does a network find nuclei in another's? "
    "Does Macenko normalisation help?",
    factor="normalizer",
    levels=("none", "macenko"),
    baseline="none",
    models=("unet",),
    seeds=(0, 1),
    metric="aji",
    conditions=(
        Condition(
            "laboratory_A",
            "new patients from the laboratory of the training images",
            only=("lab", "A"),
        ),
        Condition(
            "laboratory_B", "patients from a laboratory whose stain no network has seen", only=("lab", "B")
        ),
    ),
    primary_condition="laboratory_B",
    reference="",
)
