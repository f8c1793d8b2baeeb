from dataclasses import dataclass

from tumor_ratio.hooks.parameters import flat, parameters_of, plain, without_namespace
from tumor_ratio.params import Params


@dataclass(frozen=True)
class Options:
    rate: float = 0.1


class Training(Params):
    epochs: int = 3
    options: Options = Options()


def test_groups_become_plain_and_flat():
    inputs = {"params:resnet18.training": Training(), "cohort": object(), "params:n": 1}
    parameters = parameters_of(inputs)
    assert parameters == {"resnet18.training": {"epochs": 3, "options": {"rate": 0.1}}, "n": 1}
    assert flat("training", parameters["resnet18.training"]) == {
        "training.epochs": 3,
        "training.options.rate": 0.1,
    }
    assert flat("", {"a": {"b": 1}}) == {"a.b": 1}
    assert plain({"x": [1, 2]}) == {"x": [1, 2]}


def test_names_are_equal_in_all_approaches():
    assert without_namespace("resnet18.training", "resnet18") == "training"
    assert without_namespace("regression.levit_128s.training", "levit_128s") == "training"
    assert without_namespace("training", "resnet18") == "training"
    assert without_namespace("resnet18", "resnet18") == ""
