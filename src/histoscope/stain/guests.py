"""Normalisers of others: what one must be, and what model folders need of it beside."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from inspect import ismethod
from typing import Any, ClassVar, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike

from histoscope import plugins
from histoscope.errors import ConfigError
from histoscope.images.digest import digest_of
from histoscope.stain.density import check
from histoscope.stain.normalizer import BaseNormalizer
from histoscope.stain.tissue import Tissue
from histoscope.types import Image

GROUP = "histoscope.normalizers"
"""Entry points of normalisers of others."""


@runtime_checkable
class Normalizer(Protocol):
    """What brings the colours of images to those of a reference: any ``(image) -> image``.

    An image is (H, W, 3) uint8, and so is what is given. What else it may have:

    - ``source=`` of the call and ``estimate(image)``: what was measured once of a whole slide;
    - ``fit(image)``: takes the colours of a reference; a class method that gives a fitted one, or a method;
    - ``to_dict()`` and the class method ``from_dict(values)``: what it is kept as in a model folder. Without
      them it is made again as it was first, without arguments.
    """

    def __call__(self, image: Image, *, source: Any = None) -> Image:
        """Give `image` the colours of the reference."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """What a normaliser of somebody else measured of a slide; None if it measures nothing."""

    value: Any
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Guest(BaseNormalizer[Any]):
    """A normaliser of somebody else, which is the target, with the members that ours have."""

    made_by: ClassVar[tuple[Any, ...]] = ()
    """Its class, or the function itself."""

    def __post_init__(self) -> None:
        if self.white is not None:
            raise ConfigError(
                f"'white' is for normalisers of Histoscope, not for {self.name!r}; leave it out"
            )

    def __call__(self, image: Image, *, source: Any = None) -> Image:
        """Call it, and refuse what is no image of the same size."""
        image = check(image)
        source = source.value if isinstance(source, Measured) else source
        changed: Any = self.target(image) if source is None else self.target(image, source=source)
        form = getattr(changed, "shape", None), getattr(changed, "dtype", None)
        if form != (image.shape, np.uint8):
            raise ConfigError(
                f"normaliser {self.name!r} gives {form[0] or type(changed).__name__} {form[1] or ''}, "
                f"expected {image.shape} uint8, as the image has"
            )
        return np.ascontiguousarray(changed)

    def measure(self, image: Image | Sequence[Image]) -> Measured:
        """Its estimate, if it has any, of an image, or of the pixels of several as one column."""
        estimate = getattr(self.target, "estimate", None)
        if not isinstance(image, np.ndarray):
            image = np.concatenate([each.reshape(-1, 1, 3) for each in image])
        return Measured(None if estimate is None else estimate(image))

    @classmethod
    def fit(
        cls, reference_image: Image | Sequence[Image], *, white: ArrayLike | None = None, origin: str = ""
    ) -> Self:
        """Fit it to an image; one that knows no fitting is taken as it is."""
        (kind,) = cls.made_by
        if not cls.can_fit():
            return cls.default()
        images = [reference_image] if isinstance(reference_image, np.ndarray) else reference_image
        if ismethod(kind.fit):  # of the class, or of an object
            made = kind.fit(reference_image)
            made = kind if made is None else made
        else:
            made = kind()
            made.fit(reference_image)
        return replace(cls(made, white=white), origin=origin, pixels=tuple(map(digest_of, images)))

    @classmethod
    def can_fit(cls) -> bool:
        """Whether it takes a reference."""
        return hasattr(cls.made_by[0], "fit")

    @classmethod
    def default(cls) -> Self:
        """As it is made without arguments."""
        (kind,) = cls.made_by
        return cls(kind() if isinstance(kind, type) else kind)

    @classmethod
    def _of(cls, tissue: Tissue) -> Any:
        raise ConfigError(f"normaliser {cls.name!r} measures images by itself; call its own estimate")

    def _apply(self, image: Image, source: Any) -> Image:
        return self(image, source=source)

    def _values(self) -> dict[str, Any]:
        return dict(self.target.to_dict()) if hasattr(self.target, "to_dict") else {}

    @classmethod
    def _from_values(cls, values: dict[str, Any]) -> Self:
        (kind,) = cls.made_by
        return cls(kind.from_dict(values)) if hasattr(kind, "from_dict") else cls.default()


def kind_of(name: str, found: Any) -> type[Guest]:
    """Class of the normaliser that a plug-in offers: a class, a function, or an object that can be called.

    Raises
    ------
    ConfigError
        If it is none of these.
    """
    if not callable(found):
        raise ConfigError(
            f"normaliser {name!r} is {found!r}, expected a function (image) -> image, or a class whose "
            "objects are one"
        )
    return type("Guest", (Guest,), {"name": name, "made_by": (found,)})


def adopted(given: Any) -> BaseNormalizer[Any]:
    """A fitted normaliser of ours as it is, one of somebody else with what ours have.

    Raises
    ------
    ConfigError
        If it cannot be called on an image, such as a name or a class.
    """
    if isinstance(given, BaseNormalizer):
        return given
    if not callable(given) or isinstance(given, type):
        raise ConfigError(
            f"normalizer is {given!r}, expected a fitted one, such as "
            "histoscope.stain.get('macenko').default(), or a function (image) -> image"
        )
    kind = given if hasattr(given, "__qualname__") else type(given)
    return kind_of(plugins.name_of(kind, GROUP), kind)(given)
