"""The two forms of a logged regressor: what each takes, gives, shows as an example and needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema, TensorSpec
from numpy.typing import NDArray

from tumor_ratio.inference.answer_params import AnswerParams
from tumor_ratio.inference.output_tables import empty_record, slide_table

NETWORK = ("torch", "timm", "numpy", "pandas", "safetensors")
READING = ("openslide-python", "openslide-bin", "tifffile", "imagecodecs", "pillow")
MEASURING = ("scipy", "scikit-image")


@dataclass(frozen=True)
class Form:
    """What a logged model takes and gives.

    Parameters
    ----------
    suffix : of the logged model's name.
    code : file beside this one that MLflow copies into the model and runs.
    signature, example : of a model of patches of so many pixels.
    pinned : packages whose versions it names.
    """

    suffix: str
    code: str
    signature: Callable[[int], ModelSignature]
    example: Callable[[int], Any]
    pinned: tuple[str, ...]


def signature_of(patch_px: int) -> ModelSignature:
    """What a regressor of patches of `patch_px` takes and gives."""
    return ModelSignature(
        inputs=Schema([TensorSpec(np.dtype(np.uint8), (-1, patch_px, patch_px, 3))]),
        outputs=Schema(
            [ColSpec("float", "tumor_ratio"), ColSpec("double", "tumor_ratio_calibrated")]
        ),
    )


def example_patch(patch_px: int) -> NDArray[np.uint8]:
    """One patch of dots in the colours of H&E, drawn by numbers: (1, patch_px, patch_px, 3)."""
    y, x = np.mgrid[:patch_px, :patch_px]
    dots = (np.hypot(x % 16 - 8, y % 16 - 8) < 5)[..., np.newaxis]
    rgb = np.where(dots, [110, 70, 150], [230, 170, 200])
    return rgb[np.newaxis].astype(np.uint8)


def slides_signature(_: int) -> ModelSignature:
    """What a regressor of slides takes and gives, whatever its patches."""
    types = {"step_px": "long", "min_tissue": "double", "mpp": "double"}
    given = slide_table({"": empty_record("", {"approach": "", "training_data": "real"})})
    columns = {
        name: "double" if kind == "float64" else "string" for name, kind in given.dtypes.items()
    }
    return ModelSignature(
        inputs=Schema(
            [
                ColSpec("string", "slide_path"),
                ColSpec("string", "slide_id", required=False),
                ColSpec("double", "he_mpp", required=False),
            ]
        ),
        outputs=Schema(
            [
                *(ColSpec(kind, str(name), required=False) for name, kind in columns.items()),
                ColSpec("string", "error"),
            ]
        ),
        params=ParamSchema(
            [
                ParamSpec(name, types.get(name, "string"), field.default)
                for name, field in AnswerParams.model_fields.items()
            ]
        ),
    )


def example_slide(_: int) -> pd.DataFrame:
    """A question for a slide that is on no machine."""
    return pd.DataFrame({"slide_path": ["/path/of/slides/slide_7.svs"]})


PATCHES = Form("", "mlflow_pyfunc.py", signature_of, example_patch, NETWORK)
SLIDES = Form(
    "-slides",
    "mlflow_slides_pyfunc.py",
    slides_signature,
    example_slide,
    (*NETWORK, *READING, *MEASURING),
)
