from tumor_ratio.hooks.run_note import approach_note, results_note

METRICS = {
    "resnet18": {"region_within_0_05": 0.5, "slide_mae": 0.25, "region_mae": 0.125},
    "oracle": {"region_mae": 0.0625},
}


def test_results_are_a_table_under_the_stamps():
    note = results_note(METRICS, {"resnet18": {"role": "model"}}, ("STAMP", "TWO"))
    assert note.split("\n\n")[:2] == ["STAMP", "TWO"]
    assert note.split("\n\n")[2].splitlines() == [
        "| approach | role | region_mae | slide_mae |",
        "| --- | --- | --- | --- |",
        "| resnet18 | model | 0.1250 | 0.2500 |",
        "| oracle |  | 0.0625 | - |",
    ]


def test_other_results_show_their_own_metrics():
    note = results_note({"cyclegan_load_48": {"spearman": 0.5}}, {}, ("STAMP",))
    assert "| approach | spearman |" in note
    assert "| cyclegan_load_48 | 0.5000 |" in note


def test_an_approach_says_what_it_learned_from():
    about = {"role": "model", "supervision": "region ratios"}
    assert approach_note("a", about, ("STAMP",)) == (
        "**a** (model)\n\nLearned from: region ratios.\n\nSTAMP"
    )
    assert approach_note("a", {}, ("STAMP",)) == "**a**\n\nSTAMP"
