"""Studies at test size: what the section ``tiny`` changes, what it cannot, where results lie."""

import copy

import pytest

from neurolim import StudyError
from neurolim.pipeline.layout import layout_of
from neurolim.study.files import graphs_of
from neurolim.study.read import parse_study

TINY = {
    "options": {"n_neurons": 20, "dt": None},
    "reference": {"options": {"rtol": 1e-8}},
    "grid": {"eps": {"logspace": [0.01, 0.1, 2]}},
    "replicas": 2,
    "statistics": {"concentration": {"after": 0.1}},
    "chunk_seconds": 1.0,
}


def test_options_merge_axes_and_numbers_are_replaced_and_the_rest_is_inherited(mapping):
    untouched = copy.deepcopy(mapping | {"tiny": TINY})
    study = parse_study(mapping | {"tiny": TINY}, tiny=True)
    by_hand = parse_study(
        mapping
        | {
            "options": {"n_neurons": 20, "t_end": 1.0, "records": 4},
            "reference": {"solver": "limit", "options": {"rtol": 1e-8}},
            "grid": {"eps": {"logspace": [0.01, 0.1, 2]}, "sigma": [1.0, 2.0]},
            "replicas": 2,
            "statistics": [{"concentration": {"after": 0.1}}, mapping["statistics"][1]],
            "chunk_seconds": 1.0,
        }
    )
    assert study.spec.model_copy(update={"figures": by_hand.spec.figures}) == by_hand.spec
    assert [(figure.name, figure.options) for figure in study.figures] == [
        (figure.name, figure.options) for figure in by_hand.figures
    ]
    assert study.digest(0, study.n_runs) == by_hand.digest(0, by_hand.n_runs)
    assert mapping | {"tiny": TINY} == untouched
    # The study itself is what it is without the section.
    full = parse_study(mapping | {"tiny": TINY})
    assert full.spec.model_copy(update={"tiny": None}) == parse_study(mapping).spec
    assert (study.tiny, full.tiny) == (True, False)


def test_a_statistic_with_an_alias_goes_by_it(mapping):
    rate = {"of": ["voltage_mean"], "over": "eps", "resamples": 100}
    again = {"convergence_rate": rate, "as": "again"}
    study = mapping | {"statistics": [*mapping["statistics"], again], "expect": {}}
    study["tiny"] = {"statistics": {"again": {"resamples": 200}}}
    *others, last = parse_study(study, tiny=True).statistics
    assert (last.label, last.options["resamples"]) == ("again", 200)
    assert others == list(parse_study(study).statistics[:-1])


@pytest.mark.parametrize("listed", ["agreement", "agreement_scores"])
@pytest.mark.parametrize("changed", ["agreement", "agreement_scores"])
@pytest.mark.filterwarnings("ignore::neurolim.core.registry.RenamedWarning")
def test_a_figure_goes_by_its_old_name_and_its_new_one(listed, changed):
    study = {
        "model": "linear",
        "solver": "particles",
        "reference": "moments",
        "options": {"n_neurons": 64, "t_end": 1.0, "records": 4},
        "statistics": ["agreement"],
        "figures": [listed],
        "tiny": {"figures": {changed: {"wrong": 1}}},
    }
    with pytest.raises(StudyError, match=r"figures\.agreement_scores\.wrong: unknown key"):
        parse_study(study, tiny=True)
    study["tiny"] = {"figures": {changed: {}}}
    (figure,) = parse_study(study, tiny=True).figures
    assert figure.name == "agreement_scores"


def test_results_of_two_sizes_never_share_a_folder(mapping, tmp_path):
    homes = [
        layout_of(parse_study(mapping | {"tiny": TINY}, "fig", tiny=size), tmp_path).home
        for size in (False, True)
    ]
    assert homes == [tmp_path / "fig", tmp_path / "tiny" / "fig"]
    with pytest.raises(StudyError, match="name: 'tiny' is a folder of results"):
        parse_study(mapping, "tiny")


@pytest.mark.parametrize(
    ("tiny", "line"),
    [
        ({"title": "x"}, "tiny.title: unknown key; allowed: params, options,"),
        ({"expect": {}}, "tiny.expect: unknown key"),
        ([], "tiny: got"),
        ({"replicas": "2"}, "tiny.replicas: got '2'"),
        ({"options": {"n_neuron": 20}}, "options.n_neuron: unknown key"),
        ({"options": {"bins": None}}, "tiny.options.bins: not in the study"),
        (
            {"grid": {"epsilon": [1.0]}},
            "tiny.grid.epsilon: not in the study (did you mean 'eps'?)",
        ),
        ({"grid": {"eps": None}}, "grid.eps: not an axis: None"),
        ({"statistics": {"profile": {}}}, "tiny.statistics.profile: not in the study"),
        ({"figures": {"rate_plots": {}}}, "not in the study (did you mean 'rate_plot'?)"),
        ({"statistics": ["concentration"]}, "tiny.statistics: got"),
        ({"refine": {"levels": 1}}, "refine.axes: missing"),
        ({"replicas": 0}, "replicas: got 0;"),
        ({"statistics": {"concentration": {"after": 99.0}}}, "statistics.concentration.after: no"),
    ],
)
def test_a_section_that_does_not_fit_is_refused_in_one_line(mapping, tiny, line):
    with pytest.raises(StudyError) as refused:
        parse_study(mapping | {"tiny": tiny}, file="s.yaml", tiny=True)
    assert str(refused.value).startswith("s.yaml: ")
    assert line in str(refused.value)


@pytest.mark.parametrize("key", ["statistics", "figures"])
@pytest.mark.parametrize("options", [{}, None])
def test_an_alias_of_nothing_is_refused_at_test_size_too(mapping, key, options):
    study = mapping | {"expect": {}, key: [{"as": options}], "tiny": {key: {}}}
    for size in (False, True):
        with pytest.raises(StudyError, match=f"{key}: got .*; allowed: not a list of names"):
            parse_study(study, tiny=size)


def test_a_study_without_the_section_has_no_test_size(mapping):
    with pytest.raises(StudyError, match="tiny: missing"):
        parse_study(mapping, tiny=True)
    alone = {key: value for key, value in mapping.items() if key != "reference"}
    alone["tiny"] = {"reference": {"options": {}}}
    with pytest.raises(StudyError, match=r"tiny\.reference: the study has no reference"):
        parse_study(alone, tiny=True)


def test_a_section_is_checked_at_full_size_and_the_study_at_test_size(mapping):
    with pytest.raises(StudyError, match=r"tiny\.replicas"):
        parse_study(mapping | {"tiny": {"replicas": 1.5}})
    with pytest.raises(StudyError, match="replicas: got 0;"):
        parse_study(mapping | {"replicas": 0, "tiny": {"replicas": 1}}, tiny=True)
    twice = mapping | {"figures": ["rate_plot", "rate_plot"], "tiny": {"figures": {}}}
    with pytest.raises(StudyError, match="listed twice"):
        parse_study(twice, tiny=True)


def test_files_of_wires_are_those_of_one_size():
    study = {
        "options": {"graph": "whole.csv"},
        "reference": {"options": {"graph": "other.csv"}},
        "tiny": {"options": {"graph": "small.csv"}, "reference": "limit"},
    }
    assert list(graphs_of(study)) == ["whole.csv", "other.csv"]
    assert list(graphs_of(study, tiny=True)) == ["small.csv", "other.csv"]
    assert list(graphs_of({"options": [], "tiny": 5}, tiny=True)) == []
