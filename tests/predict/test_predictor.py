"""Inference: the same as MMSegmentation's own, whatever the batch, the device or the kind of model."""

import os
import pickle
import signal
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from helpers.models import picture, untrained
from mmengine.dataset import pseudo_collate
from mmseg.apis import inference_model, init_model
from mmseg.models.decode_heads import FCNHead
from mmseg.registry import MODELS as MODELS_OF_MMSEGMENTATION

from segmentation.chips.chip import write_chip
from segmentation.core.errors import PipelineError
from segmentation.geo.grid import Grid
from segmentation.predict.batches import Chips, batches_of, collate
from segmentation.predict.devices import Inference, predict_chips
from segmentation.predict.precision import choose_precision
from segmentation.predict.predictor import Predictor
from segmentation.predict.segmentor import SEED

FCN = {
    "model__decode_head": {
        "_delete_": True,
        "type": "FCNHead",
        "in_channels": 128,
        "in_index": 3,
        "channels": 16,
        "num_convs": 1,
        "num_classes": 2,
        "norm_cfg": {"type": "BN"},
    }
}
MODELS = {
    "whole": {},
    "slide": {"model__test_cfg": {"_delete_": True, "mode": "slide", "crop_size": (384, 384), "stride": (300, 300)}},
    "one logit": {
        "model__decode_head__out_channels": 1,
        "model__decode_head__loss_decode": {"type": "CrossEntropyLoss", "use_sigmoid": True},
    },
    "resized": {
        "test_pipeline": [
            {"type": "LoadImageFromFile", "imdecode_backend": "pillow"},
            {"type": "Resize", "scale": (384, 384)},
            {"type": "PackSegInputs"},
        ]
    },
    "padded": {"model__data_preprocessor__test_cfg": {"size_divisor": 192}},
    "another head": FCN,
    "cascaded heads": {
        "model__type": "CascadeEncoderDecoder",
        "model__num_stages": 2,
        "model__decode_head": [
            {name: value for name, value in FCN["model__decode_head"].items() if name != "_delete_"},
            {
                "type": "OCRHead",
                "in_channels": 128,
                "in_index": 3,
                "channels": 16,
                "ocr_channels": 8,
                "num_classes": 2,
                "norm_cfg": {"type": "BN"},
            },
        ],
    },
}


@pytest.fixture(scope="module")
def chips(tmp_path_factory):
    """Three chips of noise, of different brightness, one partly without data."""
    folder, rng = tmp_path_factory.mktemp("chips"), np.random.default_rng(3)
    paths = []
    for number, brightest in enumerate((80, 160, 255)):
        dn = rng.integers(1, brightest, (4, 512, 512)).astype("uint8")
        dn[:, :, : 50 * (number == 1)] = 0
        paths.append(folder / f"{number}.tif")
        write_chip(paths[-1], dn, Grid().window_transform(0, 0), {})
    return paths


@pytest.fixture(scope="module")
def blobs(tmp_path_factory):
    """A chip as the trained model knows them, in a list, and where its blobs are, (1, 512, 512) bool."""
    path = tmp_path_factory.mktemp("blobs") / "blobs.tif"
    dn, mask = picture(np.random.default_rng(3), 512)
    write_chip(path, dn, Grid().window_transform(0, 0), {})
    return [path], mask[None]


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return untrained(tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def levels(plain, chips):
    return [found for _, found in Predictor(plain, "cpu").predict(chips, 2, 1)]


def one_by_one(run, chips):
    """MMSegmentation's own inference, chip by chip, as probabilities."""
    model = init_model(str(run.config), str(run.checkpoint), device="cpu")
    found = [inference_model(model, str(chip)).seg_logits.data for chip in chips]
    return np.stack([(logits.softmax(0)[1] if len(logits) == 2 else logits[0]).numpy() for logits in found])


def all_at_once(predictor, chips):
    batch = pseudo_collate([predictor.segmentor.pipeline({"img_path": str(chip)}) for chip in chips])
    return predictor.segmentor.probability(batch["inputs"], batch["data_samples"]).numpy()


@pytest.mark.parametrize("changes", MODELS.values(), ids=MODELS)
def test_probabilities_are_those_of_mmsegmentation(tmp_path, chips, changes):
    run = untrained(tmp_path, **changes)
    expected = one_by_one(run, chips[:2])
    found = all_at_once(Predictor(run, "cpu"), chips[:2])
    assert found.shape == (2, 512, 512)
    assert expected.std() > 0.05, "the model says the same everywhere: nothing is compared"
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_the_study_s_head_is_rewritten_and_says_the_same(plain, chips):
    predictor = Predictor(plain, "cpu")
    ran = []
    for conv in predictor.segmentor._model.decode_head.convs:
        conv.register_forward_hook(lambda *parts: ran.append(parts[2].shape[2:]))
    fused = predictor.segmentor._model.decode_head.fusion_conv
    fused.register_forward_hook(lambda *_: pytest.fail("the fusion ran at full size"))
    np.testing.assert_allclose(all_at_once(predictor, chips[:1]), one_by_one(plain, chips[:1]), atol=1e-4)
    assert [tuple(size) for size in ran] == [(128, 128), (64, 64), (32, 32), (16, 16)]


@MODELS_OF_MMSEGMENTATION.register_module()
class HeadWithoutItsNorm(FCNHead):
    """Uses a convolution without the normalisation that was made for it: no rewrite can know."""

    def forward(self, inputs):
        features = self._transform_inputs(inputs)
        return self.cls_seg(self.convs[0](features, norm=False))


def test_a_rewrite_that_is_wrong_for_a_model_is_left_alone_and_told(tmp_path, chips, caplog):
    head = FCN["model__decode_head"] | {"type": "HeadWithoutItsNorm"}
    run = untrained(tmp_path, model__decode_head=head)
    predictor = Predictor(run, "cpu")
    assert isinstance(predictor.segmentor._model.decode_head.convs[0].norm, torch.nn.Identity), (
        "nothing would be compared"
    )
    expected = one_by_one(run, chips[:2])
    np.testing.assert_allclose(all_at_once(predictor, chips[:2]), expected, atol=1e-4)
    assert "model is run as it is: its faster form differs from it by " in caplog.text
    np.testing.assert_allclose(all_at_once(predictor, chips[:2]), expected, atol=1e-4)


def test_a_right_rewrite_is_compared_once_and_kept_in_silence(plain, chips, caplog):
    predictor = Predictor(plain, "cpu")
    rewritten = predictor.segmentor._model
    all_at_once(predictor, chips[:2])
    assert predictor.segmentor._model is rewritten
    assert predictor.segmentor._plain is None
    assert not caplog.text


def test_random_numbers_are_the_same_for_every_chip_whatever_the_batch(tmp_path, chips):
    head = {
        "type": "LightHamHead",
        "in_channels": [32, 80, 128],
        "in_index": [1, 2, 3],
        "channels": 16,
        "ham_channels": 16,
        "ham_kwargs": {"MD_R": 4},
        "num_classes": 2,
        "norm_cfg": {"type": "BN"},
    }
    run = untrained(tmp_path, model__decode_head={"_delete_": True} | head)
    model = init_model(str(run.config), str(run.checkpoint), device="cpu")
    torch.manual_seed(SEED)
    first, second = (inference_model(model, str(chips[0])).seg_logits.data.softmax(0)[1].numpy() for _ in range(2))
    assert np.abs(first - second).max() > 1e-3, "the numbers drawn do not matter"
    np.testing.assert_allclose(all_at_once(Predictor(run, "cpu"), chips[:1])[0], first, atol=1e-4)
    together = [levels for _, levels in Predictor(run, "cpu").predict(chips, 2, 2)]
    (_, alone), (_, last) = Predictor(run, "cpu").predict(chips[1:], 1, 1)
    assert np.abs(together[1].astype(int) - alone).max() <= 1
    assert np.abs(together[2].astype(int) - last).max() <= 1


@dataclass(frozen=True)
class Seen:
    """What a predictor said of chips, and on the way: arrays (n, 512, 512)."""

    probability: np.ndarray
    sureness: np.ndarray
    types: dict[str, torch.dtype]
    types_of_weights: set[torch.dtype]


def sureness(logits):
    """How much more a mine than background: the difference of two logits, in double precision."""
    return (logits[:, 1].double() - logits[:, 0].double()).numpy()


def seen(run, precision, chips):
    predictor = Predictor(run, "cpu", precision)
    # The model is compared with the plain one once, in fp32: not what is looked at here.
    all_at_once(predictor, chips[:1])
    model, types, logits = predictor.segmentor._model, {}, []
    model.backbone.register_forward_pre_hook(lambda _, given: types.update(pixels=given[0].dtype))
    model.decode_head.conv_seg.register_forward_hook(lambda *parts: types.update(logits=parts[2].dtype))
    inference = model.inference
    model.inference = lambda *arguments: logits.append(inference(*arguments)) or logits[-1]
    probability = all_at_once(predictor, chips)
    return Seen(probability, sureness(logits[0]), types, {weights.dtype for weights in model.parameters()})


@pytest.fixture(scope="module")
def exact(trained_model, blobs):
    return seen(trained_model, "fp32", blobs[0])


@pytest.fixture(scope="module")
def rounded(trained_model, blobs):
    return seen(trained_model, "bf16", blobs[0])


def test_bf16_agrees_but_for_pixels_on_the_edge(exact, rounded, blobs):
    _, truth = blobs
    assert ((exact.probability >= 0.5) == truth).mean() > 0.95, "the model has learned nothing"
    assert np.abs(rounded.probability - exact.probability).mean() < 0.01
    clear = np.abs(exact.probability - 0.5) > 0.05
    assert clear.any()
    assert ((rounded.probability >= 0.5) == (exact.probability >= 0.5))[clear].mean() > 0.999


def test_bf16_is_neither_biased_nor_coarser_than_mmsegmentation_in_bf16(trained_model, blobs, exact, rounded):
    """Rounding scatters around what is exact and averages out in a slope; a wrong scale does not."""
    spread = exact.sureness.std()
    slope, offset = np.polyfit(exact.sureness.ravel(), rounded.sureness.ravel(), 1)
    assert slope == pytest.approx(1, abs=0.01)
    assert offset == pytest.approx(0, abs=0.01 * spread)

    # How coarsely this processor rounds shows in MMSegmentation's own inference on it: ours may stray no farther.
    model = init_model(str(trained_model.config), str(trained_model.checkpoint), device="cpu")
    with torch.autocast("cpu", torch.bfloat16):
        logits = torch.stack([inference_model(model, str(chip)).seg_logits.data for chip in blobs[0]])
    usual, ours = (np.sqrt(np.mean((one - exact.sureness) ** 2)) for one in (sureness(logits), rounded.sureness))
    assert 0 < usual < 0.1 * spread
    assert ours < 1.5 * usual


def test_bf16_is_for_convolutions_and_products_alone(rounded):
    """Pixels are normalised, weights kept and the softmax computed in float32."""
    assert rounded.types == {"pixels": torch.float32, "logits": torch.bfloat16}
    assert rounded.types_of_weights == {torch.float32}
    np.testing.assert_allclose(rounded.probability, 1 / (1 + np.exp(-rounded.sureness)), atol=1e-6)


@pytest.mark.parametrize(
    ("precision", "hint"),
    [("fp16", "beyond the range of fp16; choose --precision bf16 or fp32"), ("fp32", "whose weights are finite")],
)
def test_values_that_are_not_finite_are_refused_naming_the_chip(plain, chips, precision, hint):
    predictor = Predictor(plain, "cpu")
    all_at_once(predictor, chips[:1])
    predictor.segmentor.precision = precision
    predictor.segmentor._model.decode_head.conv_seg.register_forward_hook(lambda *parts: overflowed(parts[2]))
    with pytest.raises(PipelineError, match=f"no finite probabilities for .*1.tif.*{hint}"):
        all_at_once(predictor, chips[:2])


def overflowed(logits):
    """Logits of which those of the second chip are beyond what a number holds, at one pixel."""
    changed = logits.clone()
    changed[1, 1, 3, 3] = float("inf")
    return changed


def test_a_chip_that_cannot_be_read_is_named_with_the_way_out(plain, chips, tmp_path):
    cut_off = tmp_path / "cut_off.tif"
    cut_off.write_bytes(chips[0].read_bytes()[:5000])
    with pytest.raises(PipelineError, match=r"the chip .*cut_off.tif cannot be read; remove it and run step 1") as told:
        list(Predictor(plain, "cpu").predict([chips[0], cut_off], 1, 1))
    assert "\n" not in str(told.value)


def test_what_reading_processes_find_wrong_is_the_same_one_line(plain, chips, tmp_path):
    (tmp_path / "empty.tif").touch()
    reading = Chips([tmp_path / "empty.tif"], Predictor(plain, "cpu").segmentor.pipeline, plain)
    loader = torch.utils.data.DataLoader(reading, num_workers=1, collate_fn=collate)
    with pytest.raises(PipelineError, match=r"^the chip .*empty.tif cannot be read; remove it"):
        list(batches_of(loader))


class Deadly(torch.utils.data.Dataset):
    """Ends the process that reads it, as a system does that is short of memory."""

    def __len__(self):
        return 1

    def __getitem__(self, _):
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_reading_process_is_told():
    loader = torch.utils.data.DataLoader(Deadly(), num_workers=1, collate_fn=collate)
    with pytest.raises(PipelineError, match="a process that reads chips was ended from outside"):
        list(batches_of(loader))


def test_levels_are_probabilities_in_steps(plain, chips, levels):
    exact = all_at_once(Predictor(plain, "cpu"), chips)
    assert np.abs(np.stack(levels) / 250 - exact).max() <= 0.5 / 250 + 1e-5


@pytest.mark.parametrize(("batch_size", "workers"), [(1, 1), (3, 0), (None, 1), (None, 2), (2, 64)])
def test_neither_the_size_of_batches_nor_their_number_changes_anything(plain, chips, levels, batch_size, workers):
    cores = torch.get_num_threads()
    found = list(Predictor(plain, "cpu").predict(chips, batch_size, workers))
    assert torch.get_num_threads() == cores
    assert [position for position, _ in found] == [0, 1, 2]
    assert max(np.abs(one.astype(int) - other).max() for (_, one), other in zip(found, levels, strict=True)) <= 1


def short_of_memory(predictor, most):
    """Let a model run out of memory, as a GPU does, with more than so many chips at a time."""
    sizes = []

    def check(_, arguments):
        sizes.append(len(arguments[0]))
        if sizes[-1] > most:
            raise torch.OutOfMemoryError("CUDA out of memory")

    predictor.segmentor._model.backbone.register_forward_pre_hook(check)
    return sizes


def test_a_batch_that_does_not_fit_is_halved_once_and_for_all(plain, chips, levels):
    predictor = Predictor(plain, "cpu")
    sizes = short_of_memory(predictor, most=1)
    found = list(predictor.predict([*chips, *chips[:1]], 3, 1))
    assert sizes == [3, 1, 1, 1, 1]
    for (_, one), other in zip(found, [*levels, levels[0]], strict=True):
        assert np.abs(one.astype(int) - other).max() <= 1


def test_a_chip_that_does_not_fit_alone_is_told(plain, chips):
    predictor = Predictor(plain, "cpu")
    short_of_memory(predictor, most=0)
    with pytest.raises(PipelineError, match="one chip alone does not fit into the memory of cpu"):
        list(predictor.predict(chips, 2, 1))


def test_several_devices_share_the_chips(plain, chips, levels):
    found = dict(predict_chips(chips, plain, Inference(("cpu", "cpu"), workers=1)))
    assert sorted(found) == [0, 1, 2]
    for position, expected in enumerate(levels):
        assert np.abs(found[position].astype(int) - expected).max() <= 1


def test_what_goes_wrong_on_one_of_several_devices_is_told(plain, chips):
    with pytest.raises(PipelineError, match=r"on cuda:7[78]"):
        list(predict_chips(chips, plain, Inference(("cuda:77", "cuda:78"), workers=1)))


@pytest.mark.parametrize(
    ("device", "precision", "message"),
    [
        ("cpu", "fp16", "fp16 is for GPUs"),
        ("cuda:77", "auto", r"cannot load .* on cuda:77: torch finds (no|\d+) GPUs? here; choose"),
    ],
)
def test_a_device_or_precision_that_is_not_there_is_told(plain, device, precision, message):
    with pytest.raises(PipelineError, match=message):
        Predictor(plain, device, precision)


@pytest.mark.parametrize(
    ("precision", "devices", "chosen"),
    [
        ("auto", ["cpu"], "fp32"),
        ("auto", ["cuda:0", "cuda:1"], "bf16"),
        ("auto", ["cuda:0", "cuda:9"], "fp32"),
        ("auto", ["cuda:0", "cpu"], "fp32"),
        ("bf16", ["cuda:0", "cpu"], "bf16"),
        ("fp16", ["cuda:9"], "fp16"),
        ("bf16", ["cuda:9"], "the GPU cuda:9 does not compute in bf16"),
        ("fp16", ["cuda:0", "cpu"], "fp16 is for GPUs"),
    ],
)
def test_all_devices_compute_in_one_precision(monkeypatch, precision, devices, chosen):
    monkeypatch.setattr("segmentation.predict.precision._computes_in_bf16", lambda gpu: gpu != "cuda:9")
    if " " in chosen:
        with pytest.raises(PipelineError, match=chosen):
            choose_precision(precision, devices)
    else:
        assert choose_precision(precision, devices) == chosen


def test_weights_of_another_model_are_refused(plain, tmp_path):
    other = untrained(tmp_path, **FCN)
    with pytest.raises(PipelineError, match="cannot load .*iter_1.pth"):
        Predictor(type(plain)(plain.config, other.checkpoint, 1), "cpu")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model = dict(", "cannot read the config .*SyntaxError"),
        ("_base_ = '{config}'\nimport nosuchmodule", "cannot read the config .*ModuleNotFoundError.*nosuchmodule"),
        ("custom_imports = dict(imports=['nosuchmodule'])", "cannot read the config .*ImportError.*nosuchmodule"),
        ("_base_ = 'gone.py'", "cannot read the config .*gone.py"),
        ("_base_ = '{config}'\nmodel = dict(x=1 / 0)", "cannot read the config .*ZeroDivisionError"),
        ("a = 1", "cannot load .*iter_1.pth with .*'?model'?"),
        ("_base_ = '{config}'\nmodel = dict(backbone=dict(type='NoSuchNet'))", "cannot load .*NoSuchNet"),
        ("_base_ = '{config}'\nmodel = dict(backbone=dict(nosuch=1))", "cannot load .*nosuch"),
        ("_base_ = '{config}'\ntest_pipeline = None", "has neither a test_pipeline nor a test_dataloader with one"),
        ("_base_ = '{config}'\ntest_pipeline = [dict(type='NoSuchStep')]", "cannot use the test pipeline .*NoSuchStep"),
        ("_base_ = '{config}'\nmodel = dict(decode_head=dict(num_classes=3))", "cannot load|has 3 classes"),
    ],
)
def test_a_config_that_is_wrong_is_one_line(plain, tmp_path, text, message):
    base = tmp_path / "base.py"
    base.write_text(plain.config.read_text().replace("test_dataloader =", "_unused ="))
    (tmp_path / "wrong.py").write_text(text.replace("{config}", str(base)))
    with pytest.raises(PipelineError, match=message) as told:
        Predictor(type(plain)(tmp_path / "wrong.py", plain.checkpoint, 1), "cpu")
    assert "\n" not in str(told.value)
    assert len(str(told.value)) < 600


def test_without_test_pipeline_chips_are_read_as_the_test_dataloader_does(plain, chips, tmp_path, levels):
    text = plain.config.read_text()
    (tmp_path / "model.py").write_text(text.replace("test_pipeline =", "_renamed ="))
    predictor = Predictor(type(plain)(tmp_path / "model.py", plain.checkpoint, 1), "cpu")
    ((_, found),) = predictor.predict(chips[:1], 1, 1)
    assert np.abs(found.astype(int) - levels[0]).max() <= 1


@pytest.mark.parametrize(
    "content", [b"", b"no checkpoint", b"PK\x03\x04 no zip", pickle.dumps({1: 2}), pickle.dumps([])]
)
def test_a_checkpoint_that_is_none_is_one_line(plain, tmp_path, content):
    (tmp_path / "iter_1.pth").write_bytes(content)
    with pytest.raises(PipelineError, match="cannot load .*iter_1.pth") as told:
        Predictor(type(plain)(plain.config, tmp_path / "iter_1.pth", 1), "cpu")
    assert "\n" not in str(told.value)
