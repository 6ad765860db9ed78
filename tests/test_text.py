"""Classifiers of texts as the models in question: pools, served texts, panels, and the main job by its commands."""

import contextlib
import io
import json
import os
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
import skops.io
from probe_match.clients import oip, replay, sklearn
from probe_match.fingerprinting import cli, learners, storage
from probe_match.fingerprinting.collect import ask, collect
from probe_match.fingerprinting.database import open_db
from probe_match.fingerprinting.errors import BadData, TargetError
from probe_match.fingerprinting.oip_server import serve
from probe_match.fingerprinting.pools import load_pool, make_pool
from probe_match.fingerprinting.records import InputSpec, Pool, ProbeSuite
from probe_match.fingerprinting.wording import Wording
from probe_match.probes import uniform
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.svm import LinearSVC

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks" / "zoos"))
import text_task

TEXT = InputSpec("text")
WRITERS = np.array(["anna", "ben", "cleo", "dora"])
SHORT = [f"text number {i} by {WRITERS[i % 4]}" for i in range(24)]
Written = Callable[[str, str | bytes], Path]


@pytest.fixture
def written(tmp_path: Path) -> Written:
    """Writes a file of this name and content."""

    def write(name: str, content: str | bytes) -> Path:
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        return tmp_path / name

    return write


def lines(texts: list[str], **more: Any) -> str:
    return "\n".join(json.dumps({"text": text, "label": str(WRITERS[i % 4]), **more}) for i, text in enumerate(texts))


def table(texts: list[str], header: str = "text,label") -> str:
    rows = [f'"{text}",{WRITERS[i % 4]}' for i, text in enumerate(texts)]
    return "\n".join([header, *rows]) + "\n"


# --- pools ------------------------------------------------------------------------------------------------------------


def test_three_files_hold_the_same_pool(written: Written, tmp_path: Path) -> None:
    """An array of texts, a table and lines of JSON give the same texts, labels and names."""
    np.savez(tmp_path / "pool.npz", x=np.array(SHORT), y=np.resize(WRITERS, 24))
    files = [tmp_path / "pool.npz", written("pool.csv", table(SHORT)), written("pool.jsonl", lines(SHORT))]
    pools = [load_pool(file) for file in files]

    for pool in pools:
        assert pool.spec == TEXT
        assert pool.x == tuple(SHORT)
        assert pool.classes == tuple(WRITERS)
        np.testing.assert_array_equal(pool.y, np.arange(24) % 4)


def test_texts_stand_as_they_are(written: Written) -> None:
    """Line breaks, quotes, emoji and margins of JSON survive; so does a pool without labels."""
    odd = ['a "quoted",\nbroken line', "\u00e9\U0001f600\u6a21\u578b", "  margins\t ", *SHORT]
    pool = load_pool(written("log.jsonl", "\n".join(json.dumps({"text": text}) for text in odd)))

    assert pool.x == tuple(odd)
    assert pool.y is None


def test_columns_are_named_where_they_are_called_otherwise(written: Written) -> None:
    """With the text column named, the columns that are neither it nor the label are left out."""
    body = "\n".join(f"{i},{text},{i % 2}" for i, text in enumerate(SHORT))
    file = written("pool.csv", f"id,review,stars\n{body}\n")
    pool = load_pool(file, label="stars", text="review")

    assert pool.x == tuple(SHORT)
    assert pool.classes == ()
    with pytest.raises(BadData, match="expected a text column 'body', got id, review, stars; name one of them"):
        load_pool(file, text="body")
    other = written("pool.jsonl", "\n".join(json.dumps({"q": text, "a": i % 2}) for i, text in enumerate(SHORT)))
    assert load_pool(other, label="a", text="q").x == tuple(SHORT)


def test_a_table_with_numbers_called_text_stays_a_table(written: Written) -> None:
    """A column of numbers is a feature whatever it is called."""
    file = written("pool.csv", "text,y\n" + "".join(f"{i},{i % 2}\n" for i in range(24)))

    assert load_pool(file).spec.kind == "tabular"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("p.jsonl", lines([*SHORT, " \n"]), "expected words in row 25, got an empty text; remove the row"),
        ("p.jsonl", lines([*SHORT, SHORT[3]]), "expected distinct rows, got 1 duplicates of 25"),
        ("p.jsonl", lines([*SHORT, "a\0b"]), r"got U\+0000 in row 25, character 2; remove it"),
        ("p.jsonl", lines([*SHORT, "a\ud800"]), r"got U\+D800 in row 25"),
        ("p.jsonl", lines([*SHORT, "a" * 20_001]), "at most 20000 characters, got 20001 in row 25; cut it"),
        ("p.jsonl", lines(SHORT, label="one"), "expected labels of at least two classes, got only one"),
        ("p.jsonl", lines(SHORT[:19]), "expected at least 20 distinct rows, got 19"),
        ("p.jsonl", lines(SHORT).encode("utf-16"), "expected UTF-8 text, got another encoding"),
        ("p.jsonl", lines(SHORT) + "\n{'text': 1}", "expected JSON in line 25"),
        ("p.jsonl", lines(SHORT) + "\n[1]", "expected an object such as .* in line 25, got list"),
        ("p.jsonl", lines(SHORT) + '\n{"body": "x"}', "expected a text under 'text' in line 25, got 'body'"),
        (
            "p.jsonl",
            lines(SHORT) + '\n{"text": "x"}',
            "expected a label under 'label' in every line, got none in 1 of 25",
        ),
        ("p.jsonl", lines(SHORT) + '\n{"text": "x", "label": 3}', "got values of several kinds"),
        ("p.jsonl", lines(SHORT) + '\n{"text": "x", "label": []}', "got values of several kinds"),
        ("p.jsonl", "", "expected one JSON object a line, got no line"),
        ("p.csv", table(SHORT, "text,writer"), "expected 'text' and a label alone, got also writer; name the label"),
        ("p.csv", table(["ä" * 5, *SHORT]).encode("latin-1"), "expected UTF-8 text, got another encoding"),
        ("p.csv", table([*SHORT, ""]), "expected words in row 25, got an empty text"),
        ("p.csv", 'text,y\n"a",\n' * 1 + "".join(f"t{i},b\n" for i in range(24)), "expected a label in row 1"),
    ],
)
def test_bad_texts_are_one_line(written: Written, name: str, content: str | bytes, message: str) -> None:
    """What a model could not be sent, or a peer not learn from, is named with its row."""
    with pytest.raises(BadData, match=message) as caught:
        load_pool(written(name, content))

    assert "\n" not in str(caught.value)


def test_what_is_neither_text_nor_number() -> None:
    """A text among other things, bytes, and a table of words are refused."""
    with pytest.raises(BadData, match="expected a text in row 25, got int; give texts alone"):
        make_pool([*SHORT, 3])
    for x in (np.array(SHORT, "S"), np.array(SHORT).reshape(12, 2)):
        with pytest.raises(BadData, match="expected numbers as x"):
            make_pool(x)


# --- clients ----------------------------------------------------------------------------------------------------------


def test_texts_go_through_a_real_server() -> None:
    """Texts of any script are answered in order as the model in this process answers them, in BYTES."""
    texts = ["short", "\u00e9\u6a21\U0001f600", 'a "quoted"\nline', *SHORT] * 200

    def length(some: list[str]) -> np.ndarray:
        return np.array([len(text) % 3 for text in some])

    with serve({"length": length}, (), max_rows=100) as url:
        client = oip.connect(f"{url}/v2/models/length")
        asked = ask(client, texts, TEXT)
        told = requests.get(f"{url}/v2/models/length", timeout=5).json()
        bad = [
            {"inputs": [{"name": "x", "shape": shape, "datatype": kind, "data": data}]}
            for shape, kind, data in (
                ([1], "FP32", [1.0]),
                ([2], "BYTES", ["a"]),
                ([1], "BYTES", [1]),
                ([], "BYTES", []),
            )
        ]
        codes = [requests.post(f"{url}/v2/models/length/infer", json=body, timeout=5).status_code for body in bad]
        client.close()

    assert client.shape == ()
    assert told["inputs"] == [{"name": "x", "datatype": "BYTES", "shape": [-1]}]
    np.testing.assert_array_equal(asked.labels, length(texts))
    assert codes == [400] * 4


def test_what_reads_texts_says_so(tmp_path: Path) -> None:
    """Unions of vectorisers are known to take texts too, from the file as live, and rows of numbers are refused."""
    reads = FeatureUnion([("words", TfidfVectorizer()), ("letters", TfidfVectorizer(analyzer="char"))])
    model = make_pipeline(reads, LogisticRegression()).fit(SHORT, np.arange(24) % 4)
    skops.io.dump(model, tmp_path / "model.skops")
    client = sklearn.connect(str(tmp_path / "model.skops"))

    assert client.shape == sklearn.wrap(model).shape == ()
    np.testing.assert_array_equal(ask(client, SHORT, TEXT).labels, model.predict(SHORT))
    numbers = uniform.generate(
        sklearn.wrap(LogisticRegression().fit(np.eye(24), np.arange(24) % 2)), make_pool(np.eye(24)), n=5, seed=0
    )
    with pytest.raises(TargetError, match=r"takes inputs of shape \(\), the probes are \(24,\)"):
        collect(client, numbers)


def test_recorded_texts_are_found_again(tmp_path: Path) -> None:
    """Answers to a suite of texts, recorded and replayed, are the answers."""
    model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(SHORT, np.arange(24) % 4)
    suite = uniform.generate(sklearn.wrap(model), make_pool(SHORT, np.arange(24) % 4), n=10, seed=0)
    responses = collect(sklearn.wrap(model), suite)
    replay.record(tmp_path / "answers.jsonl", suite, responses)
    again = collect(replay.connect(str(tmp_path / "answers.jsonl")), suite)

    np.testing.assert_array_equal(again.labels, responses.labels)
    assert storage.from_bytes(ProbeSuite, storage.to_bytes(suite)).digest == suite.digest


# --- panels -----------------------------------------------------------------------------------------------------------


def test_counting_once_is_counting_for_each() -> None:
    """Features from shared counts are those of a vectoriser that was fitted on the training texts alone."""
    texts = [text for writer in text_task.made_up(0, 10, 4) for text in writer]
    train, asked = texts[:25], texts[20:]
    shared = Wording(texts).prepare(["words"])
    sent = pickle.loads(pickle.dumps(shared))
    own = TfidfVectorizer(sublinear_tf=True, dtype=np.float32).fit(train)

    for wording in (shared, sent):
        read = wording.reader("words", train, 20_000)
        np.testing.assert_allclose(read(asked).toarray(), own.transform(asked).toarray(), rtol=1e-5)
        foreign = [*asked, f"{texts[0]} unheard"]
        np.testing.assert_allclose(read(foreign).toarray(), own.transform(foreign).toarray(), rtol=1e-5)
    frequent = CountVectorizer(max_features=30).fit(train)
    assert shared.reader("words", train, 30)(asked).shape == (len(asked), len(frequent.vocabulary_))
    assert TfidfTransformer().fit_transform(Wording(["a", "b"]).reader("words", ["a", "b"], 9)(["a"])).shape == (1, 2)


@pytest.mark.parametrize("learner", learners.TEXT)
def test_learners_of_texts_learn_scores(learner: str) -> None:
    """Probability extraction: each resembles the rows it was trained on, and they are probabilities."""
    texts = tuple(f"{('red', 'green', 'blue')[i % 3]} thing {i % 7} of many" for i in range(90))
    soft = 0.7 * np.eye(4)[np.arange(90) % 3] + 0.3 / 4
    labels, scores = learners.train(learner, TEXT, texts, soft, 4, seed=1)(texts)

    assert np.mean(labels == np.arange(90) % 3) > 0.9
    assert np.abs(scores.astype(float) - soft).mean() < 0.15
    np.testing.assert_allclose(scores.astype(float).sum(1), 1, atol=0.01)


# --- the main job -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an owner's model, a thief's, an honest one, and the owner's labelled texts, enrolled in refs.db."""
    folder = tmp_path_factory.mktemp("texts")
    written = text_task.made_up(0, 120, 4)
    texts = [[text for texts in written for text in texts[i::4]] for i in range(4)]
    y = np.repeat(np.arange(4), 30)
    mine = _fit(LogisticRegression(C=10), texts[0], y)
    stolen = _fit(LinearSVC(), texts[1] + texts[2], mine.predict(texts[1] + texts[2]))
    honest = _fit(MultinomialNB(), texts[1] + texts[2], np.concatenate([y, y]))
    for name, model in {"mine": mine, "stolen": stolen, "honest": honest}.items():
        skops.io.dump(model, folder / f"{name}.skops")
    owned = [
        {"text": t, "label": int(label)} for part in (texts[0], texts[3]) for t, label in zip(part, y, strict=True)
    ]
    (folder / "pool.jsonl").write_text("\n".join(map(json.dumps, owned)))
    (folder / "log.csv").write_text("text\n" + "".join(f"{text}\n" for text in texts[1]))
    words = ("--pool", "pool.jsonl", "--log", "log.csv", "--peers", "48", "--shadows", "6", "--jobs", "1")
    assert run(folder, "enroll", "mine.skops", "--name", "mine", "--db", "refs.db", *words)[0] == 0

    return folder


def _fit(head: Any, texts: list[str], y: np.ndarray) -> Pipeline:
    return make_pipeline(TfidfVectorizer(sublinear_tf=True), head).fit(texts, y)


def run(folder: Path, *words: str) -> tuple[int, str]:
    """Exit code and standard output of a command in this process."""
    before, out = Path.cwd(), io.StringIO()
    os.chdir(folder)
    try:
        with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out):
            patch.setattr(sys, "argv", ["probe-match", *words])
            with pytest.raises(SystemExit) as stopped:
                cli.main()
    finally:
        os.chdir(before)
    return int(stopped.value.code or 0), out.getvalue()


def test_a_stolen_classifier_of_texts_is_found(world: Path) -> None:
    """The source matches; a model trained on its answers scores above one that learnt the truth."""
    ran = [run(world, f"{name}.skops", "--db", "refs.db", "--json") for name in ("mine", "stolen", "honest")]
    mine, stolen, honest = (json.loads(out)["matches"][0]["score"] for _, out in ran)

    assert ran[0][0] == 0
    assert ran[1][0] in (0, 3)  # two dozen peers are few
    assert ran[2][0] in (1, 3)
    assert min(mine, stolen) > honest + 1


def test_it_is_found_behind_a_server(world: Path) -> None:
    """The same through HTTP, within the budget that the server counts."""
    model = sklearn.connect(str(world / "mine.skops")).estimator
    with serve({"suspect": model.predict}, ()) as url:
        code, out = run(world, f"{url}/v2/models/suspect", "--db", "refs.db", "--budget", "40")
        asked = url.rows["suspect"]

    assert code == 0
    assert out.startswith("MATCH  mine")
    assert asked <= 40


def test_what_was_enrolled_holds_texts(world: Path) -> None:
    """The database gives back the suite it was given, made of pool texts, logged ones and spliced ones."""
    with open_db(str(world / "refs.db")) as references:
        reference = references.get("mine")
        pool = load_pool(world / "pool.jsonl")
        mine = sklearn.connect(str(world / "mine.skops"))
        np.testing.assert_array_equal(ask(mine, reference.suite.inputs, TEXT).labels, reference.suite.expected)

    assert reference.suite.spec == TEXT
    assert set(reference.suite.kinds) <= {"uniform", "log", "mixed"}
    assert len(set(reference.suite.inputs)) == len(reference.suite)
    assert any(text not in pool.x for text in reference.suite.inputs)
    assert run(world, "db", "verify", "--db", "refs.db")[0] == 0


def test_suites_and_comparisons_of_texts(world: Path) -> None:
    """`suite build words` writes a suite that `suite show` reads; `compare` needs no database."""
    words = ("--source", "mine.skops", "--pool", "pool.jsonl", "-n", "30", "-o", "words.npz")
    built = run(world, "suite", "build", "words", *words)
    shown = run(world, "suite", "show", "words.npz", "--json")
    few = ("--pool", "pool.jsonl", "--peers", "48", "--shadows", "4", "--jobs", "1", "-q")

    assert built[0] == 0
    assert json.loads(shown[1])["input"] == {"kind": "text", "shape": []}
    assert run(world, "compare", "mine.skops", "mine.skops", *few)[0] == 0


def test_pools_without_labels_teach_no_peers(world: Path) -> None:
    """Enrolment says what is missing."""
    pool = Pool(TEXT, tuple(SHORT))
    assert load_pool(world / "log.csv").y is pool.y is None
    assert run(world, "enroll", "mine.skops", "--name", "b", "--pool", "log.csv", "--db", "refs.db")[0] == 2
