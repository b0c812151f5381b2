"""Study files: what is accepted, what is refused and how, keys, chunks, bits."""

from __future__ import annotations

import copy
import itertools
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from tests.texts import yaml_of

from neurolim import StudyError, core, load_study
from neurolim.api import run_study
from neurolim.study.plan import check_fit, plan
from neurolim.study.read import parse_study
from neurolim.study.yaml import parse_yaml


def changed(mapping, path, value):
    result = copy.deepcopy(mapping)
    place = result
    *parents, last = path.split("/")
    for part in parents:
        place = place[part]
    if value is KeyError:
        del place[last]
    else:
        place[last] = value
    return result


BAD = [
    ("modle", "linear", "modle", "model"),
    ("model", "linaer", "model", "linear"),
    ("model", 3, "model", ""),
    ("model", KeyError, "model", ""),
    ("solver", "particle", "solver", "particles"),
    ("reference", "limits", "reference", "limit"),
    ("reference", {"solver": "limit", "options": {"rtol": 2}}, "reference.options.rtol", "<="),
    ("reference", {"solver": "limit", "options": {"t_end": 2.0}}, "reference", "time"),
    ("params/a", -0.1, "params.a", ">= 0"),
    ("params/a", "fast", "params.a", "number"),
    ("params/a", True, "params.a", "number"),
    ("params/b", float("nan"), "params.b", "number"),
    ("params/drift", "quartic", "params.drift", "cubic"),
    ("params", {"drift": "polynomial", "coefficients": [1.0, 2.0]}, "coefficients", "negative"),
    ("params/alpha", 1.0, "params.alpha", "recovery_noise"),
    ("options/dt", -0.1, "options.dt", "> 0"),
    ("options/dt", 0.03, "options.dt", "t_end"),
    ("options/n_neurons", 10.5, "options.n_neurons", "integer"),
    ("options/n_neurons", 0, "options.n_neurons", ">= 1"),
    ("options/records", 0, "options.records", ""),
    ("grid/eps", [], "grid.eps", "at least one"),
    ("grid/eps", [0.1, 0.1], "grid.eps", "distinct"),
    ("grid/eps", [0.1, float("inf")], "grid.eps", ""),
    ("grid/eps", [0.1, "x"], "grid.eps", ""),
    ("grid/eps", [0.1, -0.1], "grid.eps", "> 0"),
    ("grid/eps", {"inverse": [0, 1]}, "grid.eps.inverse", "non-zero"),
    ("grid/eps", {"logspace": [-1, 1, 3]}, "grid.eps.logspace", "positive"),
    ("grid/eps", {"linspace": [1, 2]}, "grid.eps.linspace", "how many"),
    ("grid/eps", {"linspace": [1, 2, 2.5]}, "grid.eps.linspace", "integer"),
    ("grid/eps", {"geomspace": [1, 2, 3]}, "grid.eps", "logspace"),
    ("grid/eps", {"values": [0.1], "noise": "loud"}, "grid.eps.noise", "common"),
    ("grid/a", [0.1, 0.2], "grid.a", "one of the two"),
    ("grid/volume", [1, 2], "grid.volume", "sigma"),
    ("grid/drift", ["cubic", "quartic"], "grid.drift", "canonical"),
    ("grid/coefficients", [1, 2], "grid.coefficients", ""),
    ("grid/t_end", [1.0, 2.0], "grid", ""),
    ("grid/pair", {"zip": {"a": [1, 2], "b": [1, 2, 3]}}, "grid.pair.zip", "equal length"),
    ("grid/pair", {"zip": {"eps": [0.1, 0.2], "b": [1, 2]}}, "grid", "eps"),
    ("grid", [1, 2], "grid", ""),
    ("replicas", 0, "replicas", ""),
    ("replicas", 2.5, "replicas", ""),
    ("seed", -1, "seed", ""),
    ("seed", "one", "seed", ""),
    ("statistics", ["concentrate"], "statistics", "concentration"),
    ("statistics", "concentration", "statistics", ""),
    ("statistics", [{"concentration": {"since": 1}}], "statistics.concentration.since", "after"),
    ("statistics", ["agreement"], "statistics.agreement", "reference_state_mean"),
    (
        "statistics",
        [{"convergence_rate": {"of": ["voltage_mean"]}}],
        "statistics.convergence_rate",
        "needs voltage_mean",
    ),
    ("figures", ["rate_plots"], "figures", "rate_plot"),
    ("figures", ["agreement_scores"], "figures.agreement_scores", "needs"),
    ("figures", ["profile_collapse"], "figures.profile_collapse", "voltage_log_density"),
    ("expect", {"current": {"order": 1.0}}, "expect.current", "voltage_mean"),
    ("expect", {"voltage_mean": {"order": "one"}}, "expect.voltage_mean.order", ""),
    ("expect", {"voltage_mean": {"ordre": 1.0}}, "expect.voltage_mean.ordre", "order"),
    ("failed_share", 2, "failed_share", ""),
    ("chunk_seconds", 0, "chunk_seconds", ""),
]


@pytest.mark.parametrize(("path", "value", "key", "allowed"), BAD)
def test_bad_input_is_one_line_that_names_file_key_problem_and_allowed(
    mapping, path, value, key, allowed, tmp_path
):
    file = tmp_path / "bad.yaml"
    file.write_text(yaml_of(changed(mapping, path, value)))
    with pytest.raises(StudyError) as caught:
        load_study(file)
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith(f"{file}:{caught.value.line}: ")
    assert 1 <= caught.value.line <= len(file.read_text().splitlines())
    assert key in text
    assert allowed in text


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "empty"),
        ("- a\n- b\n", "not a mapping"),
        ("model: [\n", ":[12]: the end in the place of a value"),
        ("model: linear\nmodel: linear\n", ":2: key 'model' appears twice"),
        ("model: linear\nsolver: particles\n\tparams: 1\n", ":3: a tab; allowed: blanks"),
        ("1: 2\n", ":1: key 1 is not a word"),
        ("model: linear\nparams:\n  eps: 1_000\n", ":3: params.eps: number 1_000"),
        ("params: {eps: 0o7}\n", ":1: params.eps: number 0o7"),
        ("params: {eps: 0x1F}\n", ":1: params.eps: number 0x1F"),
        ("title: a\nmodel: *m\n", r":2: alias \*m of no anchor"),
        ("params: {<<: 1}\n", ":1: params: << of what is no mapping"),
        ("params: {<<: [{a: 1}, 2]}\n", ":1: params: << of what is no mapping"),
        ("params:\n  <<: {a: 1}\n  <<: {b: 1}\n", ":3: params: key '<<' appears twice"),
        ("x-a: &a 1\nxa: *a\n", ":2: xa: unknown key"),
        ("title: &a [*a]\n", r":1: title: alias \*a stands within"),
        ("params: &a {b: *a}\n", r":1: params.b: alias \*a stands within"),
        ("params: &a {<<: *a}\n", r":1: params: alias \*a stands within"),
        ("x-a: &a !!str b\ntitle: *a\n", ":1: x-a: tag"),
        ("title: a: b\n", ":1: a second ': ' in a line"),
        ("title: 'a\n", ":2: quotes that are not closed"),
        ("params: {a: 1\nseed: 2\n", ":2: a mapping whose bracket is not closed"),
        ("grid: {a: [1, 2}\n", ":1: a list whose bracket is not closed"),
        ("title: a\n- b\n", ":2: a line that belongs neither"),
        ("title: - b\n", ":1: '- ' where no list can begin"),
        ("title: @b\n", ":1: a word that begins with @; allowed: the word in quotes"),
        ('title: "a\\q"\n', ":1: a backslash that stands for nothing"),
        ("title: a\nmodel\n", ":3: a key without ': '"),
        ("  title: a\nseed: 1\n", ":2: something after the end"),
        ("title: |0\n a\n", ":1: a broken text block"),
        ("title: !a!b c\n", ":1: a directive or a tag"),
        ("? [model]\n: linear\n", ":1: a key that is not a word"),
        ("model: !!python/name:os linear\n", ":1: model: tag"),
        ("title: !!binary aGk=\n", ":1: title: tag"),
        ("grid: !!set {eps}\n", ":1: grid: tag"),
        ("model: linear\n---\nmodel: linear\n", ":2: a second document"),
        ("%YAML 1.1\n---\ntitle: yes\n", ":3: title: truth value yes"),
        ("params: {a: !!str 1e-3}\n", ":1: params.a: tag"),
        ("title: !!null foo\n", ":1: title: tag"),
        ("seed: !foo 5\n", ":1: seed: tag !foo"),
        ("seed: ! 5\n", ":1: seed: tag !"),
        ("params:\n  a: !!float 5\n", ":2: params.a: tag"),
        ("params: !!map {a: 1}\n", ":1: params: tag"),
        ("params: !!map [a]\n", ":1: params: tag"),
        ("params: !!omap [a]\n", ":1: params: tag"),
        ("title: !!bool maybe\n", ":1: title: tag"),
        ("title: !!timestamp x\n", ":1: title: tag"),
        ("seed: !!int x\n", ":1: seed: tag"),
        ("figures: !!seq [rate_plot]\n", ":1: figures: tag"),
        ("title: a\n!!str model: linear\n", ":2: tag"),
        ("%TAG ! tag:yaml.org,2002:\n---\ntitle: !str a\n", ":3: title: tag"),
        (f"title: a\nseed: 1{'0' * 5000}\n", ":2: seed: an integer of 5001 digits; allowed: at"),
        ("title: a\nmodel: b\x01\n", r":2: character U\+0001; allowed"),
        (f"title: a\nparams: {'[' * 2000}{']' * 2000}\n", ":2: nested more than 100 deep"),
        (f"title: a\nparams: {'{a: ' * 2000}1{'}' * 2000}\n", ":2: nested more than 100 deep"),
        ('title: a\nclaim: "\\uD800"\n', ":2: claim: half of a character"),
        ('title: a\n"\\uDFFF": a\n', ":2: half of a character"),
    ],
)
def test_bad_yaml_is_refused_in_one_line(tmp_path, text, part):
    file = tmp_path / "bad.yaml"
    file.write_text(text)
    with pytest.raises(StudyError, match=part) as caught:
        load_study(file)
    assert "\n" not in str(caught.value)


#: Ten lines, the last of which stands for 10^10 values.
BOMB = ["x-0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
BOMB += [f"x-{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]
#: The same by merging.
MERGES = ["x-0: &a0 {a: 1, b: 1}"]
MERGES += [f"x-{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 10)}]}}" for i in range(1, 10)]
#: Deeper than anything that is written.
CHAIN = ["x-0: &a0 [x]", *(f"x-{i}: &a{i} [*a{i - 1}]" for i in range(1, 3000))]
#: Long texts.
TEXTS = [f"x-0: &a0 {'x' * 100_000}", f"x-1: [{', '.join(['*a0'] * 1000)}]"]


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        (BOMB, "repeat more than"),
        (MERGES, "repeat more than"),
        (CHAIN, "nested more than 100 deep"),
        (TEXTS, "repeat more than"),
    ],
    ids=["bomb", "merges", "chain", "texts"],
)
def test_what_aliases_repeat_is_bounded(tmp_path, lines, problem):
    file = tmp_path / "bomb.yaml"
    file.write_text("\n".join([*lines, "title: a\n"]))
    with pytest.raises(StudyError, match=problem) as caught:
        load_study(file)
    assert caught.value.line >= 1


def test_anchors_stand_for_values_and_merged_keys_can_be_overridden():
    text = """
    x-base: &base {a: 1, b: [1, 2], c: {d: 3}}
    x-more: &more {b: 5, e: 6}
    one: {<<: *base, a: 2, f: 7}
    two:
      a: 2
      <<: [*more, *base]
    three: *base
    four: {'<<': 1}
    """
    said = parse_yaml(text).content
    assert said["one"] == {"a": 2, "b": [1, 2], "c": {"d": 3}, "f": 7}
    assert said["two"] == {"a": 2, "b": 5, "c": {"d": 3}, "e": 6}
    assert said["three"] == said["x-base"]
    assert said["four"] == {"<<": 1}


def test_a_study_with_anchors_is_the_study_that_is_spelled_out(tmp_path, mapping):
    spelled = tmp_path / "small.yaml"
    spelled.write_text(yaml_of(mapping))
    params, options, grid = (mapping.pop(key) for key in ("params", "options", "grid"))
    file = tmp_path / "anchors" / "small.yaml"
    file.parent.mkdir()
    file.write_text(
        f"x-options: &options {json.dumps(options | {'dt': 0.5})}\n"
        f"x-axes:\n  - &sigma {json.dumps(grid['sigma'])}\n"
        f"{yaml_of(mapping)}"
        f"params: {json.dumps(params)}\n"
        f"options:\n  <<: *options\n  dt: {options['dt']}\n"
        f"grid: {{eps: {json.dumps(grid['eps'])}, sigma: *sigma}}\n"
    )
    one, other = load_study(spelled), load_study(file)
    assert one.spec == other.spec
    assert one.definition() == other.definition()


def test_a_refusal_names_the_line_where_a_merged_value_is_written(tmp_path, mapping):
    options = mapping.pop("options")
    head = f"x-o: &o\n  t_end: -1.0\n  records: {options['records']}\n"
    file = tmp_path / "small.yaml"
    file.write_text(f"{head}{yaml_of(mapping)}options:\n  <<: *o\n")
    with pytest.raises(StudyError, match=r":2: options\.t_end: out of range"):
        load_study(file)
    file.write_text(f"{head}{yaml_of(mapping)}options:\n  <<: *o\n  t_end: -2.0\n")
    with pytest.raises(StudyError, match=r"options\.t_end: out of range: -2") as caught:
        load_study(file)
    assert caught.value.line == len(file.read_text().splitlines())


def test_unreadable_files_are_refused(tmp_path):
    with pytest.raises(StudyError, match="cannot be read"):
        load_study(tmp_path / "missing.yaml")
    with pytest.raises(StudyError, match="cannot be read"):
        load_study(tmp_path)
    (tmp_path / "latin.yaml").write_bytes(b"title: \xff\n")
    with pytest.raises(StudyError, match="UTF-8"):
        load_study(tmp_path / "latin.yaml")


def test_numbers_are_read_as_scientists_write_them(tmp_path, mapping):
    file = tmp_path / "good.yaml"
    text = yaml_of(changed(mapping, "params/b", "NUMBER"))
    for written, value in (
        ("1e-3", 1e-3),
        ("1E5", 1e5),
        (".5", 0.5),
        (".5e1", 5.0),
        ("2.", 2.0),
        ("+2", 2.0),
        ("-2", -2.0),
        ("010", 10.0),
    ):
        file.write_text(text.replace("NUMBER", written))
        assert load_study(file).params_at(0)["b"] == value


def test_words_that_look_like_something_else_are_words():
    text = "[yes, no, on, 2020-01-01, 12:30, '5', true, False, null, ~, .inf, -.INF]"
    *words, infinite, low = parse_yaml(text).content
    assert words == ["yes", "no", "on", "2020-01-01", "12:30", "5", True, False, None, None]
    assert (infinite, low) == (np.inf, -np.inf)


#: A study in which every line has one thing to get wrong: (line, its text, what is said of it).
LINES = """\
title: lines
model: fitzhugh_nagumo
solver: particles
reference:
  solver: limit
  options: {rtol: 1e-8}
params:
  a: 0.3
options:
  n_neurons: 20
  dt: 0.05
  t_end: 2.5
grid:
  eps:
    inverse: [10, 20, 40]
statistics:
  - concentration
  - convergence_rate:
      of: [voltage_mean]
      over: eps
  - convergence_rate:
      of: [voltage_mean]
      over: eps # again
    as: again
figures:
  - rate_plot
expect:
  voltage_mean:
    order: 1
tiny:
  options:
    n_neurons: 10
  statistics:
    concentration:
      after: 0.1
  replicas: 2
"""
WRONG_LINES = [
    ("title: lines", "title: 5", 1, "title: got"),
    ("model: fitzhugh_nagumo", "model: fitzhugh", 2, "model: unknown model"),
    ("model: fitzhugh_nagumo\n", "", 1, "model: missing"),
    ("  solver: limit", "  solver: limits", 5, "reference.solver: unknown solver"),
    ("{rtol: 1e-8}", "{rtol: 2}", 6, "reference.options.rtol: out of range"),
    ("  a: 0.3", "  a: fast", 8, "params.a: wrong type"),
    ("  dt: 0.05", "  dtt: 0.05", 11, "options.dtt: unknown key"),
    ("  dt: 0.05", "  dt: 0.03", 11, "options.dt: "),
    ("[10, 20, 40]", "[10, 0]", 15, "grid.eps.inverse: division by zero"),
    ("  - concentration", "  - concentrate", 17, "statistics.concentrate: unknown statistic"),
    ("      over: eps\n", "      over: dt\n", 20, "statistics.convergence_rate.over: no axis"),
    ("      over: eps # again", "      over: dt", 23, "statistics.again.over: no axis"),
    ("    as: again", "    as: it again", 16, "statistics: got"),
    ("  - rate_plot", "  - rate_plot\n  - rate_plot", 27, "figures.rate_plot: listed twice"),
    ("    order: 1", "    ordre: 1", 29, "expect.voltage_mean.ordre: unknown key"),
    ("  replicas: 2", "  replicas: two", 36, "tiny.replicas: got 'two'"),
    ("  replicas: 2", "  title: two", 36, "tiny.title: unknown key"),
]


@pytest.mark.parametrize(("right", "wrong", "line", "part"), WRONG_LINES)
def test_a_refusal_names_the_line(tmp_path, right, wrong, line, part):
    file = tmp_path / "lines.yaml"
    assert LINES.count(right) == 1
    file.write_text(LINES.replace(right, wrong))
    with pytest.raises(StudyError) as caught:
        load_study(file)
    assert str(caught.value).startswith(f"{file}:{line}: {part}")


def test_at_test_size_a_refusal_names_the_line_of_the_section(tmp_path):
    file = tmp_path / "lines.yaml"
    for right, wrong, line, key in (
        ("    n_neurons: 10", "    n_neurons: 0", 32, "options.n_neurons"),
        ("      after: 0.1", "      after: 7.0", 35, "statistics.concentration.after"),
        ("  dt: 0.05", "  dt: 0.03", 11, "options.dt"),
    ):
        file.write_text(LINES.replace(right, wrong))
        with pytest.raises(StudyError) as caught:
            load_study(file, tiny=True)
        assert str(caught.value).startswith(f"{file}:{line}: {key}: ")


def test_a_name_that_the_study_does_not_have_is_refused_with_its_own_line(tmp_path):
    file = tmp_path / "lines.yaml"
    file.write_text(LINES.replace("    concentration:\n", "    profile: {}\n    concentration:\n"))
    with pytest.raises(StudyError) as caught:
        load_study(file, tiny=True)
    assert str(caught.value).startswith(f"{file}:34: tiny.statistics.profile: not in the study")


def test_plug_ins_in_files_are_refused_with_their_own_lines(tmp_path):
    package = Path(core.__file__).parents[1]
    folder = tmp_path / "v1.2"
    folder.mkdir()
    for plug_in in ("statistics/orders/concentration.py", "figures/orders/rate_plot.py"):
        shutil.copy(package / plug_in, folder / f"my_{Path(plug_in).name}")
    file = folder / "lines.yaml"
    text = LINES.replace(
        "  - concentration\n", "  - concentration\n  - ../v1.2/my_concentration.py: {foo: 1}\n"
    )
    file.write_text(text)
    with pytest.raises(StudyError) as caught:
        load_study(file)
    assert str(caught.value).startswith(f"{file}:18: statistics.my_concentration.foo: unknown key")
    text = LINES.replace("  - rate_plot\n", "  - rate_plot\n  - my_rate_plot.py: {foo: 1}\n")
    file.write_text(text)
    with pytest.raises(StudyError) as caught:
        load_study(file)
    assert str(caught.value).startswith(f"{file}:27: figures.my_rate_plot.foo: unknown key")


@pytest.mark.filterwarnings("ignore::neurolim.core.registry.RenamedWarning")
def test_a_figure_by_its_old_name_is_refused_with_its_own_line(tmp_path):
    file = tmp_path / "lines.yaml"
    file.write_text(LINES.replace("  - rate_plot\n", "  - rate_plot\n  - profile: {foo: 1}\n"))
    with pytest.raises(StudyError) as caught:
        load_study(file)
    assert str(caught.value).startswith(f"{file}:27: figures.profile_collapse.foo: unknown key")


def test_axes_and_points(mapping):
    study = parse_study(mapping)
    assert study.shape == (3, 2)
    assert [study.values_at(p) for p in study.points()][:3] == [
        {"eps": 0.1, "sigma": 1.0},
        {"eps": 0.1, "sigma": 2.0},
        {"eps": 0.05, "sigma": 1.0},
    ]
    zipped = parse_study(
        changed(
            mapping,
            "grid",
            {
                "eps": {"logspace": [0.01, 0.1, 3]},
                "path": {"zip": {"sigma": [1, 2], "b": [0.1, 0.2]}},
            },
        )
    )
    assert zipped.shape == (3, 2)
    assert zipped.values_at(5)["b"] == 0.2
    assert zipped.values_at(2)["eps"] == pytest.approx(10**-1.5)


def test_noise_keys_do_not_depend_on_order_or_extent_of_the_grid(mapping):
    def keys(grid):
        study = parse_study(changed(mapping, "grid", grid))
        return {tuple(sorted(study.values_at(p).items())): study.key(p) for p in study.points()}

    small = keys({"eps": [0.1, 0.05], "sigma": [1.0]})
    large = keys({"sigma": [3.0, 1.0, 2], "eps": [0.05, 0.2, 0.1]})
    assert small.items() <= large.items()
    assert len(set(large.values())) == 9
    common = keys({"eps": {"values": [0.1, 0.05], "noise": "common"}, "sigma": [1.0, 2.0]})
    assert len(set(common.values())) == 2


def test_digest_sees_what_matters_and_nothing_else(mapping):
    study = parse_study(mapping)
    same = parse_study(mapping | {"title": "other", "figures": [], "failed_share": 0.5})
    assert study.digest(0, 5) == same.digest(0, 5)
    for path, value in (("seed", 8), ("params/b", 0.2), ("options/dt", 0.025)):
        assert parse_study(changed(mapping, path, value)).digest(0, 5) != study.digest(0, 5)
    assert study.digest(0, 5) != study.digest(0, 6)


@pytest.mark.parametrize("seconds", [1e-9, 1e-3, 1e9])
def test_chunks_cover_all_runs_once_in_order(mapping, seconds):
    study = parse_study(mapping | {"chunk_seconds": seconds})
    chunks = plan(study).chunks
    assert chunks[0].start == 0
    assert chunks[-1].stop == study.n_runs == 18
    assert all(a.stop == b.start for a, b in itertools.pairwise(chunks))
    assert all(len(chunk) > 0 for chunk in chunks)
    assert len(chunks) == {1e-9: 18, 1e9: 1}.get(seconds, len(chunks))


def test_chunks_have_about_equal_cost(mapping):
    study = parse_study(
        changed(
            changed(mapping, "grid", {"n_neurons": [100, 1000, 10000]}),
            "options/n_neurons",
            KeyError,
        )
        | {"statistics": [], "figures": [], "expect": {}, "replicas": 60, "chunk_seconds": 0.003}
    )
    cost = [
        study.solver.cost(study.model, study.params_at(p), study.options_at(p)).seconds
        for p in study.points()
    ]
    loads = [sum(cost[run // 60] for run in chunk) for chunk in plan(study).chunks]
    assert len(loads) > 4
    assert max(loads) - min(loads) <= 2.1 * max(cost) + 0.1 * max(loads)


def test_studies_that_do_not_fit_are_refused(mapping, tmp_path, monkeypatch):
    huge = changed(mapping, "grid/eps", {"linspace": [0.1, 1.0, 1_000_000]})
    study = parse_study(huge | {"statistics": [], "figures": [], "expect": {}, "replicas": 10_000})
    with pytest.raises(StudyError, match="disk"):
        check_fit(study, tmp_path)
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(StudyError, match="cannot write"):
        check_fit(parse_study(mapping), blocked)
    monkeypatch.setattr("neurolim.allocation.memory", lambda: 2**20)
    with pytest.raises(StudyError, match="memory"):
        check_fit(parse_study(mapping), tmp_path)


def test_results_do_not_depend_on_chunks_workers_or_the_rest_of_the_grid(mapping, tmp_path):
    base = mapping | {"statistics": [], "figures": [], "expect": {}}
    whole = run_study(parse_study(base), tmp_path / "a", workers=1)
    cut = run_study(parse_study(base | {"chunk_seconds": 1e-4}), tmp_path / "b", workers=2)
    assert len(list((tmp_path / "b/study/chunks").glob("*.zip"))) > 3
    assert (tmp_path / "a/study/data.zip").read_bytes() == (
        tmp_path / "b/study/data.zip"
    ).read_bytes()
    wider = changed(base, "grid", {"sigma": [3.0, 2.0], "eps": [0.02, 0.3]}) | {"replicas": 5}
    more = run_study(parse_study(wider), tmp_path / "c")
    place = {"eps": 0.02, "sigma": 2.0}
    for name in ("state_mean", "covariance", "histogram"):
        np.testing.assert_array_equal(
            whole[name].sel(place), more[name].sel(place).isel(replica=slice(3))
        )
    assert cut["state_mean"].dims == ("eps", "sigma", "replica", "time", "site", "variable")


def test_failed_points_become_nan_are_counted_and_enter_no_fit(mapping, tmp_path):
    # The explicit cubic overflows from |v| > (2/dt)^1/2 = 14: neurons start beyond that only at the
    # largest eps, where the spread 20 sqrt(eps) is 9.
    base = changed(mapping, "params", {"voltage_spread": 20.0})
    base = changed(
        base,
        "options",
        {
            "n_neurons": 80,
            "dt": 0.01,
            "t_end": 20.0,
            "records": 10,
            "scheme": "euler_maruyama",
        },
    )
    base = changed(base, "grid", {"eps": [0.2, 0.02, 0.015, 0.01]})
    study = parse_study(base | {"failed_share": 0.5, "figures": [], "chunk_seconds": 1e-3})
    found = run_study(study, tmp_path)
    assert found["state_mean"].sel(eps=0.2).isnull().all()
    assert found["state_mean"].sel(eps=0.02).notnull().all()
    assert (found["status"].sel(eps=0.2) == 1).all()
    runs = (tmp_path / "study/tables/runs.csv").read_text()
    assert "DIVERGED,3" in runs
    levels = (tmp_path / "study/tables/convergence_levels.csv").read_text()
    assert "voltage_mean,eps,0.2,,,,False,failed" in levels
    strict = parse_study(base | {"failed_share": 0.1, "figures": []})
    with pytest.raises(StudyError, match=r"25.0% of the runs failed"):
        run_study(strict, tmp_path)
