"""A script for QuPath's StarDist extension, which runs an exported network with the settings of its card."""

import math

from histoscope.errors import ConfigError
from histoscope.models.base import Model
from histoscope.models.nuclei.stardist import StarDist

SCRIPT = "detect_nuclei.groovy"
TILE_PX = 1024
_MULTIPLE = 64
"""QuPath's tiles have sides that are multiples of it."""

INSTEAD = "predict with Histoscope, and drop its GeoJSON on QuPath"
"""What to do where it cannot run a network."""

_TEMPLATE = """\
// Nuclei by {name}, exported from Histoscope {version}.
// Licence of the weights: {licence}
//
// Needs QuPath 0.4 or later with its StarDist extension. Draw or select an annotation, then run this script.
// Objects inside the annotation are replaced. The image must know its pixel size: it is resampled to
// {mpp} um per pixel. No percentiles are normalised: the network takes colours as they are.

import qupath.ext.stardist.StarDist2D
import qupath.lib.scripting.QP

// Where model.onnx is; change it if you moved the file.
def modelPath = {path}

def stardist = StarDist2D
    .builder(modelPath)
    .pixelSize({mpp})
    .threshold({threshold})
{classes}    .tileSize({tile})
    .padding({padding})
    .includeProbability(true)
    .measureShape()
    .build()

def parents = QP.getSelectedObjects()
if (parents.isEmpty()) {{
    QP.getLogger().error('Select an annotation first')
    return
}}
stardist.detectObjects(QP.getCurrentImageData(), parents)
stardist.close()
println 'Done'
"""


def require_stardist(model: Model, name: str) -> StarDist:
    """Give the network that QuPath's extension can run.

    Raises
    ------
    ConfigError
        If it cannot run it.
    """
    if not isinstance(model, StarDist):
        raise ConfigError(
            f"QuPath's StarDist extension runs StarDist networks only; {name} is a "
            f"{model.name or type(model).__name__}; {INSTEAD}"
        )
    if _MULTIPLE % model.spec.divisible_by:
        raise ConfigError(
            f"{name} takes sides that are multiples of {model.spec.divisible_by}, QuPath gives multiples of "
            f"{_MULTIPLE}; {INSTEAD}"
        )
    return model


def script(model: StarDist, *, name: str, licence: str, version: str, path: str) -> str:
    """Groovy script that finds nuclei in selected annotations.

    Parameters
    ----------
    model : StarDist
    name, licence, version : str
        Of the model, of its weights, and of Histoscope.
    path : str
        Of the ONNX file.
    """
    names = dict(enumerate(["background", *model.spec.classes]))
    pairs = ", ".join(f"{number}: {_quoted(each)}" for number, each in names.items())
    classes = f"    .classificationNames([{pairs}])\n" if model.spec.classes else ""
    padding = math.ceil(model.spec.context_px / _MULTIPLE) * _MULTIPLE
    return _TEMPLATE.format(
        name=_line(name),
        licence=_line(licence),
        version=version,
        path=_quoted(path),
        mpp=f"{model.spec.mpp:g}",
        threshold=f"{model.thresholds['probability']:g}",
        classes=classes,
        tile=max(TILE_PX, 4 * padding),
        padding=padding,
    )


def _quoted(text: str) -> str:
    r"""Text as Groovy takes it literally.

    Examples
    --------
    >>> print(_quoted("Crohn's"))
    'Crohn\'s'
    """
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{_line(escaped)}'"


def _line(text: str) -> str:
    return " ".join(text.split())
