"""Learned generator of tissue: bank of nuclei, conditional GAN, training, and realism of its images."""

from typing import TYPE_CHECKING

from histoscope.lazy import attach

if TYPE_CHECKING:
    from histoscope.generate.bank import Bank, cut_bank, load_bank
    from histoscope.generate.generator import (
        LearnedGenerator,
        Tally,
        fit_generator,
        generate_dataset,
        load_generator,
    )
    from histoscope.generate.network import Generator
    from histoscope.generate.realism import compare_tissue
    from histoscope.generate.training import GeneratorConfig

_LAZY = {
    "Bank": "bank",
    "Generator": "network",
    "GeneratorConfig": "training",
    "LearnedGenerator": "generator",
    "Tally": "generator",
    "compare_tissue": "realism",
    "cut_bank": "bank",
    "fit_generator": "generator",
    "generate_dataset": "generator",
    "load_bank": "bank",
    "load_generator": "generator",
}

__all__ = [
    "Bank",
    "Generator",
    "GeneratorConfig",
    "LearnedGenerator",
    "Tally",
    "compare_tissue",
    "cut_bank",
    "fit_generator",
    "generate_dataset",
    "load_bank",
    "load_generator",
]

__getattr__, __dir__ = attach(__name__, _LAZY)
