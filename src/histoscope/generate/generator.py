"""Learned generator from end to end: train it on a labelled data set, save it, generate data sets."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional
from torch.nn.utils import parametrize

from histoscope import models
from histoscope.brief import brief
from histoscope.class_names import names_in_order
from histoscope.cores import a_core_each
from histoscope.data import Dataset, Datasheet, origins, resample
from histoscope.data.origins import Row
from histoscope.errors import ConfigError, DataError
from histoscope.generate import tile_filter
from histoscope.generate.arrange import Arrangement, arrange
from histoscope.generate.bank import Bank, cut_bank, load_bank
from histoscope.generate.bank_dyes import CANONICAL, dyes_of, pictured
from histoscope.generate.bank_maps import BASE, maps_of
from histoscope.generate.network import Generator, noise_like
from histoscope.generate.tile_filter import Realism
from histoscope.generate.training import GeneratorConfig, fit
from histoscope.locks import alone_in
from histoscope.models.device import fastest
from histoscope.models.precision import mixed, narrowed
from histoscope.synth.patients import vary_stain
from histoscope.synth.spec import StainSpec
from histoscope.train import provenance
from histoscope.train.mix import learned_from
from histoscope.train.provenance import Watched
from histoscope.train.run_folder import CHECKPOINT
from histoscope.train.steps import OnStep
from histoscope.types import Sample

OnNote = Callable[[str], None]
BANK, REALISM = "bank.npz", "realism.npz"
TRIES = 3
"""Layouts tried for one tile before a poor one is kept."""
_BLOCK_PX, _RIM_PX = 512, 4
_FEW = 4
_Drawn = tuple[Sample, "Tally"]


@brief
@dataclass(frozen=True, slots=True, eq=False)
class LearnedGenerator:
    """A trained generator with its bank and its rejection filter.

    Parameters
    ----------
    model : Generator
    bank : Bank
        Nuclei, layouts, grounds and stains of the training tiles.
    realism : Realism
        Rejects poor tiles.
    source, licence, citation : str
        Name, terms and paper of the tiles; the terms hold for what is drawn from them.
    origins : tuple of rows
        The tiles, as `histoscope.data.origins` lists them.
    """

    model: Generator
    bank: Bank
    realism: Realism
    source: str = ""
    licence: str = ""
    citation: str = ""
    origins: tuple[Row, ...] = ()

    @property
    def info(self) -> Datasheet:
        """Datasheet of generated tiles, for `histoscope.data.write_folder`, with the training tiles."""
        return Datasheet(
            name="synth",
            title=f"Synthetic H&E with exact labels, generated like {self.source or 'a data set'}",
            licence=self.licence,
            citation=self.citation,
            classes=dict(enumerate(self.bank.classes, start=1)),
            mpp=self.model.spec.mpp,
            origins=self.origins,
        )


@dataclass(slots=True)
class Tally:
    """Counts of a generated data set.

    Parameters
    ----------
    painted, dropped, poor : int
        Tiles generated, rejected as poor, and poor ones kept because all tries were.
    wanted, placed : int
        Nuclei that were to be placed and that were, in the tiles that were kept.
    """

    painted: int = 0
    dropped: int = 0
    poor: int = 0
    wanted: int = 0
    placed: int = 0

    def add(self, other: "Tally") -> None:
        """Add the counts of another."""
        self.painted, self.dropped, self.poor, self.wanted, self.placed = (
            mine + more for mine, more in zip(astuple(self), astuple(other), strict=True)
        )

    def lines(self) -> list[str]:
        """The counts as messages."""
        share = self.dropped / max(self.painted, 1)
        lines = [
            f"generated {self.painted} tiles, rejected {self.dropped} as unlike real tissue ({share:.0%})"
        ]
        if self.poor:
            lines.append(f"kept {self.poor} poor tile(s): {TRIES} layouts in a row gave nothing better")
        if self.placed < 0.9 * self.wanted:
            lines.append(
                f"found room for {self.placed:,} of {self.wanted:,} nuclei "
                f"({self.placed / self.wanted:.0%} of the requested density)"
            )
        return lines


def fit_generator(
    dataset: Dataset,
    out: str | Path,
    config: GeneratorConfig | None = None,
    *,
    on_step: OnStep | None = None,
    on_note: OnNote | None = None,
) -> LearnedGenerator:
    """Train a generator on labelled tiles and write it to a folder; one that is there is read instead.

    Parameters
    ----------
    dataset : Dataset
        Tiles with instance maps; give only the training part. Resolutions may differ, each tile is resampled
        from its own. Without classes, all nuclei are of one class, ``nucleus``.
    out : str or Path
        Folder: model, card, ``bank.npz``, ``realism.npz``, ``log.jsonl``. A fit that was stopped continues.
    config : GeneratorConfig, optional
    on_step, on_note : callable, optional
        Called with step and losses; with messages.

    Raises
    ------
    ConfigError
        If the folder holds a generator of other tiles, or another process is writing to it.
    DataError
        If there are no tiles, or tiles without instance maps or without nuclei.
    TrainingError
        If the fit diverges before there are any good weights.
    """
    out, config = Path(out), config or GeneratorConfig()
    with alone_in(out):
        return _fitted(Watched(dataset), out, config, on_step, on_note or (lambda _: None))


def _fitted(
    dataset: Watched, out: Path, config: GeneratorConfig, on_step: OnStep | None, note: OnNote
) -> LearnedGenerator:
    """Train a generator in a folder that is locked."""
    is_known = not is_fitted(out) or (out / origins.FILE).is_file()
    goes_on = is_fitted(out) or (out / CHECKPOINT).is_file()
    listed = provenance.write(out, {"train": dataset}, goes_on=goes_on) if is_known else {}
    if is_fitted(out):
        note(f"generator: {out} is already fitted and is used unchanged")
        return load_generator(out)
    classes = names_in_order(dataset.info.classes)
    tiles = _tiles(dataset, note, named=bool(classes))
    bank = cut_bank(tiles, classes)
    shown = [canonical(tile, stain, config.mpp) for tile, stain in zip(tiles, bank.tiles, strict=True)]
    torch.manual_seed(config.seed)
    model = Generator(width=config.width, mpp=config.mpp, classes=bank.classes)
    card = {**learned_from([dataset.info]), **listed, "tiles": len(tiles), "nuclei": len(bank.nuclei)}
    fitted = fit(model, shown, config, out=out, on_step=on_step, card=card)
    if fitted.note:
        note(f"generator: {fitted.note}")
    bank.save(out / BANK)
    tile_filter.learn(_ready(fitted.model), shown).save(out / REALISM)  # last: marks the folder as complete
    return load_generator(out)


def is_fitted(folder: str | Path) -> bool:
    """Whether a folder of `fit_generator` is complete."""
    return (Path(folder) / REALISM).is_file()


def load_generator(folder: str | Path) -> LearnedGenerator:
    """Read a folder of `fit_generator`.

    Raises
    ------
    DatasetNotFoundError, CorruptDataError, FormatVersionError
        If it is missing, incomplete, or another version wrote it.
    ConfigError
        If it holds a model of another kind.
    """
    folder = Path(folder)
    opened = models.open_model(folder, Generator)
    sheet = opened.card.get("training data") or {}
    source, licence, citation = (str(sheet.get(key, "")) for key in ("name", "licence", "citation"))
    bank, realism = load_bank(folder / BANK), tile_filter.load(folder / REALISM)
    tiles = origins.read(folder) or (provenance.unknown(folder),)
    return LearnedGenerator(_ready(opened.network), bank, realism, source, licence, citation, tiles)


def _ready(model: Generator) -> Generator:
    """Prepare a model for inference; spectral norms are folded into the discriminator's weights."""
    for level in model.discriminator.levels:
        if parametrize.is_parametrized(level):
            parametrize.remove_parametrizations(level, "weight")
    return model.eval().to(fastest()).to(memory_format=torch.channels_last)


def generate_dataset(
    generator: LearnedGenerator,
    n: int,
    *,
    size_px: int = 256,
    stains: Sequence[StainSpec] | None = None,
    density: float = 1.0,
    seed: int = 0,
    tally: Tally | None = None,
) -> Iterator[Sample]:
    """Generate labelled tiles, one by one.

    Layouts follow the real tiles in turn; a tile unlike real tissue is rejected and generated again, at most
    three times. Tile k does not depend on the number of tiles.

    Parameters
    ----------
    generator : LearnedGenerator
    n : int
        Tiles.
    size_px : int
        Height and width at the generator's resolution; rounded up to a multiple of four inside.
    stains : sequence of StainSpec, optional
        Laboratories that take turns; without, each tile takes the stain of the real tile that its layout
        comes from. Either varies a little.
    density : float
        Times that of the real tiles.
    seed : int
    tally : Tally, optional
        Counts generated and rejected tiles.

    Yields
    ------
    Sample
        Named ``g0000``, with `patient` after the real tile's, so that tiles of one arrangement stay
        together.
    """
    if n < 1 or size_px < 32:
        raise ConfigError(f"n is {n} and size_px {size_px}; expected at least 1 tile of at least 32 pixels")
    counts = Tally() if tally is None else tally
    n_tiles = len(generator.bank.tiles)
    turns = np.random.default_rng([seed, 1]).permutation(n_tiles)
    few = len({tile.patient for tile in generator.bank.tiles}) < _FEW

    def draw(k: int) -> _Drawn:
        stain = None if not stains else stains[k % len(stains)]
        like = int(turns[k % n_tiles])
        layout, image, own = _best(generator, size_px, like, stain, density, [seed, 2, k])
        tile = generator.bank.tiles[layout.tile]
        name = f"g{k:04d}"
        drawn = Sample(
            image,
            layout.mpp,
            layout.instances,
            layout.classes,
            name=name,
            patient=name if few else f"like_{tile.patient}",
            source=f"like_{tile.name}",
        )
        return drawn, own

    cores = min(n, torch.get_num_threads())
    with closing(a_core_each(draw, range(n), cores=cores, ahead=cores, name="generator")) as tiles:
        for drawn, own in tiles:
            counts.add(own)
            yield drawn


def canonical(sample: Sample, tile: Any, mpp: float) -> Sample:
    """A sample at another resolution, in the canonical stain; `tile` has its own stain."""
    new = resample(sample, mpp)
    return replace(new, image=pictured(dyes_of(new.image, tile.stain), CANONICAL))


def paint(model: Generator, maps: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    """Generate dyes (H, W, 3) from maps (C, H, W); a large image is made in blocks, and is the same.

    Parameters
    ----------
    model : Generator
    maps : (C, H, W) float32
        Height and width multiples of four.
    seed : int
        Of the noise.
    """
    device, margin = next(model.parameters()).device, model.spec.context_px
    height, width = maps.shape[1:]
    dyes = cv2.merge(list(maps[BASE]))
    with mixed(device):
        known = narrowed(torch.from_numpy(maps)[None])
    # Reflection padding: with zero padding, the network leaves a faint frame.
    known = functional.pad(known, [_RIM_PX] * 4, mode="reflect")
    shown = torch.cat([known, noise_like(known, torch.Generator().manual_seed(seed))], dim=1)
    with torch.inference_mode(), mixed(device):
        for top in range(_RIM_PX, height + _RIM_PX, _BLOCK_PX):
            for left in range(_RIM_PX, width + _RIM_PX, _BLOCK_PX):
                y, x = max(0, top - margin), max(0, left - margin)
                block = shown[:, :, y : top + _BLOCK_PX + margin, x : left + _BLOCK_PX + margin]
                block = block.to(device).contiguous(memory_format=torch.channels_last)
                painted = model.generator(block)[0].float().cpu().permute(1, 2, 0).numpy()
                bottom, right = (min(k + _BLOCK_PX, n + _RIM_PX) for k, n in ((top, height), (left, width)))
                part = painted[top - y : bottom - y, left - x : right - x]
                dyes[top - _RIM_PX : bottom - _RIM_PX, left - _RIM_PX : right - _RIM_PX] += part
    return np.asarray(dyes, np.float32)


def _best(
    generator: LearnedGenerator,
    size_px: int,
    tile: int,
    stain: StainSpec | None,
    density: float,
    seed: list[int],
) -> tuple[Arrangement, NDArray[np.uint8], Tally]:
    """Generate tiles until one passes the filter; of poor ones, the nearest to real tissue."""
    best: tuple[float, Arrangement, NDArray[np.uint8]] | None = None
    side = -(-size_px // 4) * 4
    counts = Tally()
    for attempt in range(TRIES):
        rng = np.random.default_rng([*seed, attempt])
        layout = arrange(
            generator.bank, (side, side), mpp=generator.model.spec.mpp, rng=rng, tile=tile, density=density
        )
        maps = maps_for(layout, len(generator.bank.classes))
        dyes = paint(generator.model, maps, int(rng.integers(2**31)))
        counts.painted += 1
        far = generator.realism.median_distance(generator.model, maps, dyes.transpose(2, 0, 1))
        image = pictured(dyes, vary_stain(layout.stain if stain is None else stain, rng))
        if best is None or far < best[0]:
            best = far, layout, image
        if far <= generator.realism.limit:
            break
        counts.dropped += 1
    else:
        counts.dropped, counts.poor = counts.dropped - 1, 1
    if best is None:
        raise ConfigError("no layout was tried")
    counts.wanted, counts.placed = best[1].wanted, best[1].placed
    return cropped(best[1], size_px), np.ascontiguousarray(best[2][:size_px, :size_px]), counts


def maps_for(layout: Arrangement, n_classes: int) -> NDArray[np.float32]:
    """Maps of a layout, for the generator."""
    known = (layout.instances, layout.classes, layout.tone, layout.spread, layout.ground, layout.chromatin)
    return maps_of(*known, n_classes=n_classes, mpp=layout.mpp)


def cropped(layout: Arrangement, size_px: int) -> Arrangement:
    """Crop a layout to a square, and number its nuclei without gaps."""
    if layout.instances.shape == (size_px, size_px):
        return layout
    from histoscope.data.views import compact

    instances, classes = compact(np.ascontiguousarray(layout.instances[:size_px, :size_px]), layout.classes)
    kept = layout.classes if classes is None else classes
    return replace(layout, instances=instances, classes=kept)


def _tiles(dataset: Dataset, note: OnNote, *, named: bool) -> list[Sample]:
    """Read the tiles; notes on missing classes, few tiles and mixed resolutions."""
    tiles = list(dataset)
    if not tiles:
        raise DataError(f"data set {dataset.info.name!r} is empty; there is nothing to train on")
    if not named or all(tile.classes is None for tile in tiles):
        note("generator: the data set has no classes, so all nuclei are of one class, 'nucleus'")
    if len(tiles) == 1:
        note("generator: only one tile: every layout, background and stain will be a variation of it")
    resolutions = sorted({round(tile.mpp, 4) for tile in tiles})
    if len(resolutions) > 1:
        note(f"generator: tiles of {resolutions} um/px are all resampled to the generator's resolution")
    return tiles
