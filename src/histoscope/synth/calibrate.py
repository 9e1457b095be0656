"""Calibration: settings whose drawn tissue matches what was measured on a patient's tiles."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from histoscope.synth.layout import Layout, plan
from histoscope.synth.measure import Values, grain, is_glass, look, of_kind, shapes
from histoscope.synth.nuclei import draw
from histoscope.synth.picture import generate
from histoscope.synth.render import photograph, stain_amounts
from histoscope.synth.spec import CLASSES, OpticsSpec, StainSpec, TissueSpec
from histoscope.synth.target import PatientSpec

LAYOUT_ROUNDS, LOOK_ROUNDS = 4, 5
FIELD_UM, FIELD_PX = 480.0, 420
"""Side of the field in which densities are counted, and of the image in which colours are measured."""
MOST_PER_MM2 = 60_000.0
_COARSE_MPP = 1.0
_BLURS_UM = (0.0, 0.15, 0.25, 0.4, 0.6, 1.0)
_PLAIN = OpticsSpec(blur_um=0.0, noise=0.0, jpeg_quality=0)


def calibrated(measured: Mapping[str, float], stain: StainSpec, mpp: float, seed: list[int]) -> PatientSpec:
    """Find the settings for one patient.

    Parameters
    ----------
    measured : mapping of str to float
        Values of `look` and `of_kind`, and ``gland_share`` and ``cluster_share``.
    stain : StainSpec
        Vectors and glass; amounts are found here.
    mpp : float
        Of the tiles.
    seed : list of int
        The same for every round, so that rounds differ by their settings alone.
    """
    tissue = _first(measured)
    for _ in range(LAYOUT_ROUNDS):
        tissue = _denser(tissue, measured, laid(tissue, seed))
    h_amount = max(0.2, measured["h_nuclei"])
    e_amount = float(np.clip(measured["e_between"] / 0.3, 0.1, 6.0))
    stain = replace(stain, h_amount=float(min(h_amount, 6.0)), e_amount=e_amount)
    optics = OpticsSpec(blur_um=0.25, noise=float(np.clip(measured["noise"], 0.0, 0.03)))
    seen: Values = {}
    for turn in range(LOOK_ROUNDS):
        sample = _field(stain, tissue, optics, mpp, seed)
        if sample.instances is None or not sample.instances.any():
            break  # a patient with hardly a nucleus keeps the settings
        found = shapes(sample.instances, mpp)
        area = sample.image.shape[0] * sample.image.shape[1] * mpp**2 * 1e-6
        seen = look(sample, stain) | of_kind(found, np.asarray(sample.classes)[1:], area, CLASSES)
        if turn == LOOK_ROUNDS - 1:
            break
        stain, tissue = _recoloured(stain, tissue, measured, seen)
        if turn % 2:
            optics = _focused(stain, tissue, measured, mpp, seed)
    drawn = seen | laid(tissue, seed)
    return PatientSpec(stain, tissue, optics, dict(measured), drawn)


def laid(tissue: TissueSpec, seed: list[int]) -> Values:
    """Density of each kind, and the share of glass, of a field drawn with these settings, roughly sampled."""
    side = int(FIELD_UM / _COARSE_MPP)
    rng = np.random.default_rng(seed)
    layout = plan(FIELD_UM, FIELD_UM, tissue, rng)
    drawn = draw(layout, (side, side), _COARSE_MPP, tissue, rng)
    dye = stain_amounts(layout, drawn, _COARSE_MPP, tissue, rng)
    stain = StainSpec(glass_rgb=(255.0, 255.0, 255.0))
    image = photograph(dye, stain, _PLAIN, _COARSE_MPP, rng)
    kinds = np.bincount(drawn.kind, minlength=max(CLASSES.values()) + 1)
    area = FIELD_UM**2 * 1e-6
    values = {f"{name}_per_mm2": float(kinds[number] / area) for name, number in CLASSES.items()}
    return values | {"glass": float((is_glass(image, stain) & (drawn.instances == 0)).mean())}


def _field(stain: StainSpec, tissue: TissueSpec, optics: OpticsSpec, mpp: float, seed: list[int]) -> Any:
    return generate(
        (FIELD_PX, FIELD_PX),
        mpp=mpp,
        stain=stain,
        tissue=tissue,
        optics=optics,
        rng=np.random.default_rng([*seed, 1]),
    )


def _first(measured: Mapping[str, float]) -> TissueSpec:
    """A first guess of the tissue."""
    glands = float(np.clip(measured.get("gland_share", 0.4), 0.05, 0.95))
    clusters = float(np.clip(measured.get("cluster_share", 0.1) / max(1 - glands, 0.2), 0.0, 0.7))
    stroma = max(1 - glands, 0.05)

    def per(kind: str, share: float) -> float:
        return float(min(measured.get(f"{kind}_per_mm2", 0.0) / share, MOST_PER_MM2))

    return TissueSpec(
        gland_fraction=glands,
        cluster_fraction=clusters,
        epithelial_per_mm2=per("epithelial", glands),
        spindle_per_mm2=per("spindle", stroma),
        lymphocyte_per_mm2=per("lymphocyte", max(clusters * stroma, 0.03)),
        plasma_per_mm2=per("plasma", stroma),
        cleft_fraction=float(np.clip(measured["glass"], 0.0, 0.45)),
        lumen_fraction=float(np.clip(0.2 + 2.5 * measured["glass"], 0.05, 0.8)),
        darkness_spread=float(np.clip(measured["h_spread"], 0.02, 0.8)),
        pale_fraction=float(np.clip(measured["hollow"] - 0.1, 0.0, 0.9)),
        pleomorphism=0.14,
        smudged_fraction=0.05,
        soft_fraction=0.1,
    )


def _denser(tissue: TissueSpec, measured: Mapping[str, float], drawn: Mapping[str, float]) -> TissueSpec:
    """Correct densities and clefts by their errors; allow more crowding where nuclei do not fit."""
    values: dict[str, float] = {}
    asked = reached = 0.0
    for kind in CLASSES:
        key = f"{kind}_per_mm2"
        wanted, got = measured.get(key, 0.0), drawn[key]
        asked, reached = asked + wanted, reached + got
        now = getattr(tissue, key)
        if wanted <= 0:
            values[key] = 0.0
        elif got > 0:
            values[key] = float(np.clip(now * np.clip(wanted / got, 0.4, 2.5), 0.0, MOST_PER_MM2))
        else:
            values[key] = float(min(2.0 * now + wanted, MOST_PER_MM2))
    if reached < 0.85 * asked:
        values["crowding"] = min(0.3, tissue.crowding + 0.08)
    more = measured["glass"] - drawn["glass"]
    if drawn["lymphocyte_per_mm2"] < 0.85 * measured.get("lymphocyte_per_mm2", 0.0):
        values["cluster_fraction"] = min(0.9, 1.3 * tissue.cluster_fraction + 0.02)
    values["cleft_fraction"] = float(np.clip(tissue.cleft_fraction + more, 0.0, 0.5))
    if more < -0.02 and tissue.cleft_fraction < 0.06:
        values["lumen_fraction"] = 0.5 * tissue.lumen_fraction
    if more > 0.03 and tissue.cleft_fraction > 0.4:
        values["lumen_fraction"] = min(1.0, 1.2 * tissue.lumen_fraction + 0.05)
    return replace(tissue, **values)


def _recoloured(
    stain: StainSpec, tissue: TissueSpec, measured: Mapping[str, float], seen: Mapping[str, float]
) -> tuple[StainSpec, TissueSpec]:
    """Correct amounts of dye, chromatin and sizes by their errors."""

    def off(key: str, low: float = 0.5, high: float = 2.0) -> float:
        return float(np.clip(measured[key] / max(seen[key], 1e-3), low, high))

    stain = replace(
        stain,
        h_amount=float(np.clip(stain.h_amount * off("h_nuclei"), 0.1, 8.0)),
        e_amount=float(np.clip(stain.e_amount * off("e_between"), 0.05, 8.0)),
    )
    values = {
        "basophilia": _purpler(tissue.basophilia, measured["h_between"], seen["h_between"], stain.h_amount),
        "chromatin": tissue.chromatin * off("h_within"),
        "nuclear_eosin": tissue.nuclear_eosin
        + (measured["e_nuclei"] - seen["e_nuclei"]) / max(0.24 * stain.e_amount, 0.05),
        "darkness_spread": tissue.darkness_spread * off("h_spread"),
        "pale_fraction": tissue.pale_fraction + 0.8 * (measured["hollow"] - seen["hollow"]),
    }
    top = {
        "nuclear_eosin": 10.0,
        "basophilia": 1.6,
        "chromatin": 1.8,
        "darkness_spread": 0.8,
        "pale_fraction": 0.95,
    }
    values = {
        key: float(np.clip(value, -0.95 if key == "basophilia" else 0.0, top[key]))
        for key, value in values.items()
    }
    spreads = []
    for kind in CLASSES:
        if f"{kind}_log_area" in measured and f"{kind}_log_area" in seen:
            grow = np.exp(0.5 * (measured[f"{kind}_log_area"] - seen[f"{kind}_log_area"]))
            values[f"{kind}_size"] = float(np.clip(getattr(tissue, f"{kind}_size") * grow, 0.35, 2.8))
            slim = max(measured[f"{kind}_log_axes"], 0.02) / max(seen[f"{kind}_log_axes"], 0.02)
            stretch = getattr(tissue, f"{kind}_stretch") * np.clip(slim, 0.5, 2.0)
            values[f"{kind}_stretch"] = float(np.clip(stretch, 0.1, 4.0))
            spreads.append(measured[f"{kind}_log_area_sd"] / max(seen[f"{kind}_log_area_sd"], 0.05))
    if spreads:
        spread = tissue.pleomorphism * np.clip(np.mean(spreads), 0.5, 2.0)
        values["pleomorphism"] = float(np.clip(spread, 0.02, 0.4))
    return stain, replace(tissue, **values)


def _purpler(now: float, wanted: float, got: float, h_amount: float) -> float:
    """Below 0 it is a share of what is there, above an amount to add."""
    if now < 0 or (now == 0 and wanted < got):
        return min((1 + now) * float(np.clip(wanted / max(got, 1e-3), 0.3, 3.0)) - 1, 0.1)
    return max(now + (wanted - got) / h_amount, -0.2)


def _focused(
    stain: StainSpec, tissue: TissueSpec, measured: Mapping[str, float], mpp: float, seed: list[int]
) -> OpticsSpec:
    """Find the blur and noise of the camera: one section, photographed at several settings of the focus."""
    rng = np.random.default_rng([*seed, 1])
    um = FIELD_PX * mpp
    layout: Layout = plan(um, um, tissue, rng)
    drawn = draw(layout, (FIELD_PX, FIELD_PX), mpp, tissue, rng)
    dye = stain_amounts(layout, drawn, mpp, tissue, rng)

    def seen(optics: OpticsSpec) -> tuple[float, float]:
        image = photograph(dye, stain, optics, mpp, np.random.default_rng(seed))
        return grain(image, drawn.instances > 0, is_glass(image, stain))

    noise = float(np.clip(measured["noise"], 0.0, 0.03))
    blurs = [blur for blur in _BLURS_UM if blur == 0 or blur > 0.3 * mpp]
    blur = blurs[1]
    for _ in range(2):
        got = seen(OpticsSpec(blur, noise))[1]
        noise = float(np.sqrt(np.clip(noise**2 + 1.2 * (measured["noise"] ** 2 - got**2), 0.0, 0.03**2)))
        sharp = [seen(OpticsSpec(one, noise))[0] for one in blurs]
        blur = _first_at(blurs, sharp, measured["sharpness"])
    return OpticsSpec(blur_um=blur, noise=noise)


def _first_at(blurs: list[float], sharp: list[float], wanted: float) -> float:
    """Least blur at which an image is no sharper than wanted; beyond, only noise is left."""
    for k in range(1, len(blurs)):
        if sharp[k] <= wanted:
            part = np.clip((sharp[k - 1] - wanted) / max(sharp[k - 1] - sharp[k], 1e-6), 0, 1)
            return float(blurs[k - 1] + part * (blurs[k] - blurs[k - 1]))
        if sharp[k] >= sharp[k - 1]:
            return blurs[k - 1]
    return blurs[-1]
