"""Third-party normalisers: their protocol, and an adapter with the same methods as the built-in ones."""

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
"""Entry points of third-party normalisers."""


@runtime_checkable
class Normalizer(Protocol):
    """Protocol of a normaliser: any ``(image) -> image``, both (H, W, 3) uint8.

    Optional members:

    - ``source=`` of the call and ``estimate(image)``: an estimate made once for a whole slide;
    - ``fit(image)``: fits to a reference; a class method that returns a fitted one, or a method;
    - ``to_dict()`` and the class method ``from_dict(values)``: how it is stored in a model folder. Without
      them it is created again without arguments.
    """

    def __call__(self, image: Image, *, source: Any = None) -> Image:
        """Normalise an image to the reference."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """Estimate of a third-party normaliser; the value is None if it has no ``estimate``."""

    value: Any
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Guest(BaseNormalizer[Any]):
    """Adapter: a third-party normaliser, the target, with the members of built-in ones."""

    made_by: ClassVar[tuple[Any, ...]] = ()
    """Its class, or the function itself."""

    def __post_init__(self) -> None:
        if self.white is not None:
            raise ConfigError(
                f"'white' is for normalisers of Histoscope, not for {self.name!r}; leave it out"
            )

    def __call__(self, image: Image, *, source: Any = None) -> Image:
        """Call it, and check that it returns an image of the same size."""
        image = check(image)
        source = source.value if isinstance(source, Measured) else source
        changed: Any = self.target(image) if source is None else self.target(image, source=source)
        form = getattr(changed, "shape", None), getattr(changed, "dtype", None)
        if form != (image.shape, np.uint8):
            raise ConfigError(
                f"normaliser {self.name!r} gives {form[0] or type(changed).__name__} {form[1] or ''}, "
                f"expected {image.shape} uint8, like the image"
            )
        return np.ascontiguousarray(changed)

    def measure(self, image: Image | Sequence[Image]) -> Measured:
        """Its estimate, if it has one, of an image, or of the pixels of several as one column."""
        estimate = getattr(self.target, "estimate", None)
        if not isinstance(image, np.ndarray):
            image = np.concatenate([each.reshape(-1, 1, 3) for each in image])
        return Measured(None if estimate is None else estimate(image))

    @classmethod
    def fit(
        cls, reference_image: Image | Sequence[Image], *, white: ArrayLike | None = None, origin: str = ""
    ) -> Self:
        """Fit it to an image; one without ``fit`` is created without arguments."""
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
        """Created without arguments."""
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
    """Adapter class of what a plug-in offers: a class, a function or a callable; else a `ConfigError`."""
    if not callable(found):
        raise ConfigError(
            f"normaliser {name!r} is {found!r}, expected a function (image) -> image, or a class whose "
            "objects are such functions"
        )
    return type("Guest", (Guest,), {"name": name, "made_by": (found,)})


def adopted(given: Any) -> BaseNormalizer[Any]:
    """A fitted normaliser: a built-in one unchanged, a third-party one in its adapter.

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
