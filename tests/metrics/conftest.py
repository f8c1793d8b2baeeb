import numpy as np
import pandas as pd
import pytest

from tumor_ratio import schemas

ROLES = {
    "net": "model", "other": "model", "training_mean": "baseline", "training_median": "baseline",
    "ridge": "baseline", "oracle": "ceiling", "oracle_mean": "auxiliary",
}  # fmt: skip


@pytest.fixture(scope="session")
def compared_of():
    """Builds `schemas.ComparedRegions` from measured ratios and predictions by approach."""

    def build(measured, slides, predictions, cases=None, selected=True, repeats=1):
        slides = np.asarray(slides)
        names = pd.Series([f"s{slide:02d}" for slide in slides])
        order = pd.Series(np.arange(len(slides))).groupby(slides).cumcount()
        parts = []
        for approach, predicted in predictions.items():
            for repeat in range(repeats):
                found = predicted[repeat] if repeats > 1 else predicted
                parts.append(
                    pd.DataFrame(
                        {
                            "approach": approach, "protocol": "holdout", "repeat": repeat,
                            "fold": 0, "slide_id": names,
                            "case_id": names if cases is None else [f"c{c}" for c in cases],
                            "tile_id": names + "_t" + (order // 4).astype(str),
                            "region_id": names + "_r" + order.astype(str),
                            "reference": "ihc_measured", "measured": measured,
                            "measured_um2": 1000.0, "raw": found, "calibrated": found,
                            "he_um2": 900.0, "selected": selected,
                        }
                    )
                )  # fmt: skip
        return schemas.ComparedRegions.validate(pd.concat(parts, ignore_index=True))

    return build


@pytest.fixture(scope="session")
def approaches_of():
    """Builds `schemas.Approaches` of scored approaches with the roles that their names imply."""

    def build(names):
        return schemas.Approaches.validate(
            pd.DataFrame(
                {
                    "approach": list(names), "role": [ROLES[name] for name in names],
                    "supervision": "ratios", "scored": True, "coverage": 1.0, "reason": "",
                    "n_asked": 1, "n_missing": 0, "n_missing_alone": 0,
                }
            )
        )  # fmt: skip

    return build
