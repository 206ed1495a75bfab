# SPDX-License-Identifier: MIT
"""Does everything that goes wrong end in one line on stderr, the right exit code, and nothing half-written?"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hornito.cli import main as main_module
from hornito.cli.options import counted
from hornito.errors import BadStream, DeviceError, LabError
from hornito.model import ModelBuilder
from tests.cli.conftest import Hornito, Outcome
from tests.runtime.networks import convolution, image
from tests.runtime.test_probe import deadly

BAD, UNSUPPORTED, DEVICE = 2, 3, 4


def assert_one_line(found: Outcome, code: int, *words: str) -> None:
    assert found.code == code, found.err
    assert found.out == ""
    assert len(found.err.splitlines()) == 1, found.err
    assert found.err.startswith("hornito") and "Traceback" not in found.err and "internal error" not in found.err
    for word in words:
        assert word in found.err


MODEL_VERBS: dict[str, list[str]] = {
    "inspect": [],
    "plan": [],
    "compile": ["-o", "{tmp}/o.npz"],
    "run": ["--output", "{tmp}/y.npy"],
    "benchmark": [],
    "label-image": ["--image", "{folder}/picture.png"],
}


def arguments_of(verb: str, model: Path, folder: Path, tmp_path: Path) -> list[str]:
    option = ["--model"] if verb == "label-image" else []
    return [verb, *option, str(model), *(word.format(tmp=tmp_path, folder=folder) for word in MODEL_VERBS[verb])]


@pytest.mark.parametrize("model", ["empty", "truncated", "other", "missing"])
@pytest.mark.parametrize("verb", MODEL_VERBS)
def test_bad_model(verb: str, model: str, folder: Path, tmp_path: Path, hornito: Hornito) -> None:
    path = folder / f"{model}.tflite"
    assert_one_line(hornito(*arguments_of(verb, path, folder, tmp_path)), BAD, str(path))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("verb", MODEL_VERBS)
def test_model_that_is_a_folder(verb: str, folder: Path, tmp_path: Path, hornito: Hornito) -> None:
    assert_one_line(hornito(*arguments_of(verb, folder, folder, tmp_path)), BAD, "is a folder")


@pytest.mark.parametrize("verb", MODEL_VERBS)
def test_model_that_is_a_device(verb: str, folder: Path, tmp_path: Path, hornito: Hornito) -> None:
    found = hornito(*arguments_of(verb, Path("/dev/null"), folder, tmp_path))
    assert_one_line(found, BAD, "/dev/null: is no ordinary file")


@pytest.mark.parametrize(
    "arguments",
    [
        ["detect", "-m", "m", "-i", "i", "-o", ""],
        ["detect", "-m", "m", "-i", "", "-o", "o.png"],
        ["label-image", "--labels", ""],
        ["label-image", "--image", ""],
        ["compile", "m", "-o", ""],
        ["run", "m", "--input", ""],
        ["run", "m", "--output", ""],
        ["conformance", "--html", ""],
        ["conformance", "--against", ""],
        ["conformance", "--save", ""],
    ],
    ids=" ".join,
)
def test_empty_name_of_a_file_is_refused(arguments: list[str], hornito: Hornito) -> None:
    assert_one_line(hornito(*arguments), BAD, "'' names no file")


@pytest.mark.parametrize("verb", ["run", "benchmark", "label-image"])
def test_model_that_kills_litert(verb: str, folder: Path, tmp_path: Path, hornito: Hornito) -> None:
    path = tmp_path / "deadly.tflite"
    path.write_bytes(deadly())
    assert_one_line(hornito(*arguments_of(verb, path, folder, tmp_path)), BAD, "signal 11")
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("verb", ["run", "benchmark"])
@pytest.mark.parametrize(
    ("more", "code", "words"),
    [
        (["--fault", "hang@2"], DEVICE, "it never ends, as --fault asked for"),
        (["--fault", "hang@9", "--fault", "mmu@2"], DEVICE, "unit MMU at 0x00200000"),
        (["--fault", "irq@2"], DEVICE, "its interrupt was lost"),
        (["--fault", "alloc@1"], DEVICE, "Cannot allocate memory"),
        (["--fault", "lost@1"], DEVICE, "No such device"),
        (["--fault", "burn@1"], BAD, "'burn@1': not of the form KIND@N"),
        (["--fault", "hang@1", "--device", "cpu"], BAD, "use --device virtual"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_fault_on_purpose(verb: str, more: list[str], code: int, words: str, folder: Path, hornito: Hornito) -> None:
    inputs = ["--input", folder / "layer.npy"] if verb == "run" else []
    assert_one_line(hornito(verb, folder / "layer.tflite", *inputs, *more), code, words)


@pytest.mark.parametrize("verb", ["plan", "compile", "run", "benchmark", "label-image"])
@pytest.mark.parametrize(
    ("more", "code", "words"),
    [
        (["--chip", "vipnano"], BAD, "vipnano-qi"),
        (["--plan", "bold"], BAD, "proven"),
        (["--plan", "fast", "--without", "tales"], BAD, "groups"),
        (["--disable", "gpu"], BAD, "nn and tp"),
        (["--disable", "nn,gpu"], BAD, "nn and tp"),
        (["--chip", "gcnanoultra31-vip2-13-0"], UNSUPPORTED, "gcnanoultra31-vip2-13-0"),
        (["--no-such-option"], BAD, "--no-such-option"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_choice(
    verb: str, more: list[str], code: int, words: str, folder: Path, tmp_path: Path, hornito: Hornito
) -> None:
    if verb == "plan" and code == UNSUPPORTED and more[0] == "--chip":
        pytest.skip("plans are made for every chip")
    arguments = arguments_of(verb, folder / "layer.tflite", folder, tmp_path)
    assert_one_line(hornito(*arguments, *more), code, words)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("verb", ["run", "benchmark", "label-image"])
@pytest.mark.parametrize("model", ["layer", "float"])
@pytest.mark.parametrize(
    ("device", "code"),
    [("gpu", BAD), ("", BAD), ("/dev/dri/renderD777", 4), ("hornito://b", BAD), ("hornito+unix:/none", BAD)],
)
def test_bad_device(
    verb: str, model: str, device: str, code: int, folder: Path, tmp_path: Path, hornito: Hornito
) -> None:
    arguments = arguments_of(verb, folder / f"{model}.tflite", folder, tmp_path)
    assert_one_line(hornito(*arguments, "--device", device), code, device)


@pytest.mark.parametrize(
    "arguments", [[], ["no-such-verb"], ["run"], ["compile", "m.tflite"], ["benchmark", "-c", "0"]]
)
def test_bad_usage(arguments: list[str], hornito: Hornito) -> None:
    assert_one_line(hornito(*arguments), BAD, "--help'")


@pytest.mark.parametrize(
    ("arguments", "code", "verb"),
    [
        (["benchmark", "m.tflite", "--runs", "0"], BAD, "benchmark"),
        (["devices", "--all"], BAD, "devices"),
        (["trace", "show", "f.trace", "--odd"], BAD, "trace show"),
        (["trace", "record", "--odd", "-o", "f.trace", "--", "true"], 125, "trace record"),
    ],
)
def test_unknown_option_points_to_its_verb_s_help(arguments: list[str], code: int, verb: str, hornito: Hornito) -> None:
    words = f"hornito {verb}: unrecognized arguments: ", f"; see 'hornito {verb} --help'"
    assert_one_line(hornito(*arguments), code, *words)


@pytest.mark.parametrize("number", ["0", "-1", "x", "1.5", "99999999999", "²"])
def test_bad_number(number: str, hornito: Hornito) -> None:
    assert_one_line(hornito("label-image", f"--count={number}"), BAD, "whole number")


# Outputs


def folder_in_the_way(tmp_path: Path) -> Path:
    (tmp_path / "way").mkdir()
    return tmp_path / "way"


def no_such_folder(tmp_path: Path) -> Path:
    return tmp_path / "none" / "o"


def under_a_file(tmp_path: Path) -> Path:
    (tmp_path / "file").write_text("kept")
    return tmp_path / "file" / "o"


@pytest.mark.parametrize("place", [folder_in_the_way, no_such_folder, under_a_file])
@pytest.mark.parametrize("verb", ["compile", "run"])
def test_unwritable_output(
    verb: str, place: Callable[[Path], Path], folder: Path, tmp_path: Path, hornito: Hornito
) -> None:
    path = place(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    more = ["--input", folder / "layer.npy"] if verb == "run" else []
    found = hornito(verb, folder / "layer.tflite", *more, "-o" if verb == "compile" else "--output", path)
    assert_one_line(found, BAD, str(path))
    assert sorted(tmp_path.rglob("*")) == before


def test_several_outputs_appear_all_or_none(folder: Path, tmp_path: Path, hornito: Hornito) -> None:
    old = tmp_path / "first.npy"
    old.write_bytes(b"old")
    inputs = ["--input", folder / "image.npy", "--input", folder / "second.npy"]
    found = hornito(
        "run", folder / "two.tflite", *inputs, "--output", old, "--output", tmp_path / "none" / "second.npy"
    )
    assert_one_line(found, BAD, "second.npy")
    assert old.read_bytes() == b"old" and list(tmp_path.iterdir()) == [old]
    assert_one_line(hornito("run", folder / "two.tflite", *inputs, "--output", old, "--output", old), BAD, "same file")
    assert old.read_bytes() == b"old"


def test_failure_leaves_old_output_alone(folder: Path, tmp_path: Path, hornito: Hornito) -> None:
    old = tmp_path / "o.npz"
    old.write_bytes(b"old")
    assert_one_line(hornito("compile", folder / "refused.tflite", "-o", old), UNSUPPORTED)
    assert_one_line(hornito("compile", folder / "truncated.tflite", "-o", old), BAD)
    assert old.read_bytes() == b"old" and list(tmp_path.iterdir()) == [old]


@pytest.mark.parametrize(("model", "wide_helps"), [("refused", True), ("float", False)])
def test_compile_of_a_model_of_which_the_npu_gets_nothing(
    model: str, wide_helps: bool, folder: Path, tmp_path: Path, hornito: Hornito
) -> None:
    found = hornito("compile", folder / f"{model}.tflite", "-o", tmp_path / "o.npz")
    assert_one_line(found, UNSUPPORTED, "the NPU can run none of its operators", "--device cpu")
    assert ("--plan wide would bring it 1 of 1;" in found.err) == wide_helps
    found = hornito("compile", folder / "layer.tflite", "-o", tmp_path / "o.npz", "--disable", "nn")
    assert_one_line(found, UNSUPPORTED, "--disable nn")
    assert list(tmp_path.iterdir()) == []


# Inputs of run


@pytest.fixture(scope="session")
def compiled(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from hornito.compiler import Options, compile_graph
    from hornito.hardware.chips import find_chip
    from hornito.model import read_model
    from hornito.stream import write_archive

    path = tmp_path_factory.mktemp("compiled") / "layer.npz"
    graph = read_model(folder / "layer.tflite")
    write_archive(path, compile_graph(graph, Options(find_chip("vipnano-qi"))).archive)
    return path


@pytest.fixture(params=["model", "submission file"])
def runnable(request: pytest.FixtureRequest, folder: Path, compiled: Path) -> Path:
    return folder / "layer.tflite" if request.param == "model" else compiled


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ([], "takes 1 input (image uint8 (1, 6, 7, 3)); got 0"),
        (["layer", "layer"], "takes 1 input (image uint8 (1, 6, 7, 3)); got 2"),
        (["image"], "uint8 (1, 6, 7, 3)"),
        (["signed"], "uint8 (1, 6, 7, 3)"),
        (["float"], "uint8 (1, 6, 7, 3)"),
        (["missing"], "missing.npy"),
        (["broken"], "broken.npy"),
        (["pickled"], "pickled.npy"),
    ],
    ids=lambda value: " ".join(value) or "none" if isinstance(value, list) else "",
)
def test_bad_inputs_of_run(
    inputs: list[str], words: str, runnable: Path, folder: Path, tmp_path: Path, hornito: Hornito
) -> None:
    given = [word for name in inputs for word in ("--input", str(folder / f"{name}.npy"))]
    assert_one_line(hornito("run", runnable, *given, "--output", tmp_path / "y.npy"), BAD, words)
    assert list(tmp_path.iterdir()) == []


def test_more_bad_inputs_of_run(runnable: Path, folder: Path, tmp_path: Path, hornito: Hornito) -> None:
    assert_one_line(hornito("run", runnable, "--input", folder / "several.npz"), BAD, "several arrays")
    assert_one_line(hornito("run", runnable, "--input", folder), BAD, "can't be read")
    outputs = [word for number in range(2) for word in ("--output", str(tmp_path / f"{number}.npy"))]
    assert_one_line(hornito("run", runnable, "--input", folder / "layer.npy", *outputs), BAD, "1 output; got 2")
    assert list(tmp_path.iterdir()) == []


def test_bad_submission_files(compiled: Path, folder: Path, tmp_path: Path, hornito: Hornito) -> None:
    given = ["--input", str(folder / "layer.npy")]
    assert_one_line(hornito("run", folder / "several.npz", *given), BAD, "no submission")
    assert_one_line(hornito("run", tmp_path / "none.npz", *given), BAD, "none.npz")
    broken = tmp_path / "broken.npz"
    for content in (b"", b"PK\x03\x04", compiled.read_bytes()[:-300], b"x" * 500):
        broken.write_bytes(content)
        assert_one_line(hornito("run", broken, *given), BAD, "broken.npz")
    assert_one_line(hornito("run", compiled, *given, "--device", "cpu"), UNSUPPORTED, "--device virtual")
    assert_one_line(hornito("run", compiled, *given, "--disable", "tp"), BAD, "hornito compile")
    for option in (["--plan", "wide"], ["--per-axis-error", "0.1"], ["--evidence", "report.zip"]):
        assert_one_line(hornito("run", compiled, *given, *option), BAD, option[0], "hornito compile")
    assert_one_line(hornito("run", compiled, *given, "--chip", "vipnano-qi-7d-0"), UNSUPPORTED, "compiled for")
    assert_one_line(hornito("inspect", compiled), BAD, "no TFLite model but an archive", "'hornito run'")


def rewritten(path: Path, target: Path, **changes: object) -> Path:
    """A submission file with other entries in its ``meta``."""
    import json

    with np.load(path) as file:
        arrays = dict(file)
    meta = json.loads(str(arrays["meta"])) | changes
    np.savez(target, allow_pickle=False, **{**arrays, "meta": np.array(json.dumps(meta))})
    return target


def test_submission_file_whose_parts_do_not_fit_together(
    compiled: Path, folder: Path, tmp_path: Path, hornito: Hornito
) -> None:
    given = ["--input", str(folder / "layer.npy")]
    assert hornito("run", rewritten(compiled, tmp_path / "a.npz"), *given).code == 0
    assert_one_line(hornito("run", rewritten(compiled, tmp_path / "a.npz", chip="gpu"), *given), BAD, "gpu")
    assert_one_line(hornito("run", rewritten(compiled, tmp_path / "a.npz", inputs=[])), BAD, "wants tensor")
    assert_one_line(hornito("run", rewritten(compiled, tmp_path / "a.npz", segments=[]), *given), BAD, "no model")


def test_output_that_no_segment_computes(folder: Path, tmp_path: Path, hornito: Hornito) -> None:
    builder = ModelBuilder()
    result = convolution(builder, image(builder))
    builder.output(result, builder.constant("constant", np.arange(3, dtype=np.int32)))
    (tmp_path / "m.tflite").write_bytes(builder.build())
    ran = hornito("compile", tmp_path / "m.tflite", "-o", tmp_path / "m.npz")
    assert_one_line(ran, UNSUPPORTED, "is a constant")
    assert not (tmp_path / "m.npz").exists()
    assert hornito("run", tmp_path / "m.tflite", "--input", folder / "image.npy").code == 0


# Pictures and labels


@pytest.mark.parametrize(
    ("picture", "labels", "words"),
    [
        ("missing.png", "labels.txt", "missing.png"),
        ("broken.png", "labels.txt", "broken.png"),
        ("labels.txt", "labels.txt", "labels.txt"),
        (".", "labels.txt", "can't be read"),
        ("picture.png", "missing.txt", "missing.txt"),
        ("picture.png", "short.txt", "has 2 labels"),
        ("picture.png", "picture.png", "picture.png"),
    ],
)
def test_bad_picture_or_labels(picture: str, labels: str, words: str, folder: Path, hornito: Hornito) -> None:
    arguments = ["--model", folder / "classifier.tflite", "--image", folder / picture, "--labels", folder / labels]
    assert_one_line(hornito("label-image", *arguments), BAD, words)


def test_more_labels_than_outputs_are_remarked_upon(folder: Path, tmp_path: Path, hornito: Hornito) -> None:
    (tmp_path / "long.txt").write_text("".join(f"class {number}\n" for number in range(12)))
    arguments = ["--model", folder / "classifier.tflite", "--image", folder / "picture.png", "--device", "cpu"]
    found = hornito("label-image", *arguments, "--labels", tmp_path / "long.txt")
    remarks = [line for line in found.err.splitlines() if "labels" in line]
    assert found.code == 0 and len(found.lines) == 5
    assert remarks == [f"hornito: {tmp_path / 'long.txt'}: has 12 labels, the model 10 outputs; the first 10 are used"]
    assert "labels" not in hornito("label-image", *arguments, "--labels", folder / "labels.txt").err


def test_model_without_picture(folder: Path, hornito: Hornito) -> None:
    assert_one_line(hornito("label-image", "--model", folder / "classifier.tflite"), BAD, "--image")


def test_model_that_is_no_classifier_of_pictures(folder: Path, hornito: Hornito) -> None:
    for name in ("two", "float"):
        arguments = ["--model", folder / f"{name}.tflite", "--image", folder / "picture.png"]
        found = hornito("label-image", *arguments)
        assert found.code == UNSUPPORTED and "label-image takes" in found.err.splitlines()[-1]


def test_unknown_name_to_fetch(tmp_path: Path, hornito: Hornito, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HORNITO_CACHE", str(tmp_path))
    assert_one_line(hornito("fetch", "no-such-model"), BAD, "mobilenet_v1")
    assert list(tmp_path.iterdir()) == []


# Whatever else happens


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (DeviceError("the node\nis gone"), DEVICE, "the node is gone"),
        (BadStream("word 3"), DEVICE, "word 3"),
        (LabError("no power"), 5, "no power"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (MemoryError(), 4, "out of memory"),
        (OSError(28, "No space left on device", "/tmp/x"), BAD, "/tmp/x: No space left on device"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_any_error_is_one_line(
    error: BaseException, code: int, words: str, hornito: Hornito, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(arguments: list[str]) -> int:
        raise error

    monkeypatch.setattr(main_module, "_run", fail)
    assert_one_line(hornito("devices"), code, words)


def test_mistake_of_ours_asks_for_a_report(hornito: Hornito, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(arguments: list[str]) -> int:
        raise ZeroDivisionError("a mistake")

    monkeypatch.setattr(main_module, "_run", fail)
    monkeypatch.delenv("HORNITO_DEBUG", raising=False)
    found = hornito("devices")
    assert found.code == 1
    assert (
        found.err
        == "hornito: internal error: ZeroDivisionError: a mistake; please report it with HORNITO_DEBUG=1 set\n"
    )
    monkeypatch.setenv("HORNITO_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        hornito("devices")


def test_output_that_is_also_an_input_is_refused(folder: Path, hornito: Hornito) -> None:
    model = folder / "layer.tflite"
    before = model.read_bytes()
    assert_one_line(hornito("compile", model, "-o", model), BAD, "is read as well")
    image = folder / "layer.npy"
    assert_one_line(hornito("run", model, "--input", image, "--output", image), BAD, "is read as well")
    assert model.read_bytes() == before


def test_more_threads_than_processors_are_no_more_than_those(folder: Path, hornito: Hornito) -> None:
    model, image = folder / "layer.tflite", folder / "layer.npy"
    for device in ("cpu", "virtual"):
        found = hornito("run", model, "--input", image, "--device", device, "--threads", "1000000")
        assert found.code == 0, found.err


def test_classifier_s_verb_names_the_detector_s(folder: Path, hornito: Hornito) -> None:
    found = hornito("label-image", "--model", folder / "two.tflite", "--image", folder / "picture.png")
    assert_one_line(found, UNSUPPORTED, "2 inputs and ", "'hornito detect'")


def test_comparison_without_npu_says_that_there_is_none(folder: Path, hornito: Hornito) -> None:
    found = hornito("benchmark", folder / "float.tflite", "--compare", "cpu", "--count", "1", "--warmup-runs", "0")
    assert found.code == 0 and "nothing to compare" in found.err


def test_options_of_plans_are_not_ignored_in_silence(folder: Path, hornito: Hornito, tmp_path: Path) -> None:
    model, image = folder / "layer.tflite", folder / "layer.npy"
    on_cpu = ["run", model, "--input", image, "--device", "cpu"]
    words = "hornito: {}: ignored, as --device cpu uses no NPU"
    assert "ignored" not in hornito(*on_cpu).err
    found = hornito(*on_cpu, "--plan", "wide", "--chip", "imx8mp")
    assert found.code == 0 and words.format("--chip, --plan") in found.err.splitlines()
    found = hornito(*on_cpu, "--per-axis-error", "0.2", "--disable", "tp")
    assert found.code == 0 and words.format("--per-axis-error, --disable") in found.err.splitlines()
    remark = "hornito: --per-axis-error: ignored at plan level proven; use --plan wide\n"
    output = ["-o", tmp_path / "o.npz", "--json"]
    for verb in (["plan", model], ["compile", model, *output]):
        found = hornito(*verb, "--per-axis-error", "0.2")
        assert (found.code, found.err) == (0, remark)
        assert hornito(*verb, "--per-axis-error", "0.2", "--plan", "wide").err == ""
    assert hornito("plan", model, "--estimate", "--per-axis-error", "0.2", "--against", "wide").err == ""


@pytest.mark.parametrize(
    ("count", "noun", "plural", "text"),
    [
        (0, "run", "", "0 runs"),
        (1, "run", "", "1 run"),
        (2, "run", "", "2 runs"),
        (1, "process", "processes", "1 process"),
        (2, "process", "processes", "2 processes"),
    ],
)
def test_counts_agree_with_their_nouns(count: int, noun: str, plural: str, text: str) -> None:
    assert counted(count, noun, plural) == text
