from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from tumor_ratio.models.cyclegan.gan_losses import discriminator_loss, gan_loss
from tumor_ratio.models.cyclegan.image_pool import ImagePool
from tumor_ratio.models.cyclegan.initial_weights import initialise
from tumor_ratio.models.cyclegan.learning_rate import learning_rate_share
from tumor_ratio.models.cyclegan.networks import CycleGan, make_discriminator, make_generator
from tumor_ratio.models.cyclegan.norms import (
    InstanceNorm,
    fixed_statistics,
    instance_norms,
    pooled_statistics,
)
from tumor_ratio.models.cyclegan.options import (
    CycleGanOptions,
    NetworkOptions,
    PreprocessOptions,
)
from tumor_ratio.models.cyclegan.recognition import (
    recognise_discriminator,
    recognise_generator,
)
from tumor_ratio.models.cyclegan.resnet_generator import ReflectionPad

SMALL = NetworkOptions(netG="resnet_6blocks", ngf=4, ndf=4)


@pytest.mark.parametrize("norm", ["instance", "batch", "none"])
@pytest.mark.parametrize(
    ("name", "side"),
    [("resnet_6blocks", 32), ("resnet_9blocks", 36), ("unet_128", 128), ("unet_256", 256)],
)
def test_generators_keep_the_size_and_are_told_by_their_weights(norm, name, side):
    options = NetworkOptions(netG=name, ngf=2, norm=norm)
    generator = make_generator(options).eval()
    with torch.no_grad():
        y = generator(torch.rand(1, 3, side, side) * 2 - 1)
    assert y.shape == (1, 3, side, side)
    assert y.abs().max() <= 1
    assert recognise_generator(generator.state_dict()) == options
    assert recognise_discriminator(generator.state_dict()) is None


def test_dropout_moves_the_second_convolution_and_is_told_by_it():
    for norm in ("instance", "batch", "none"):
        options = NetworkOptions(netG="resnet_6blocks", ngf=2, norm=norm, no_dropout=False)
        assert recognise_generator(make_generator(options).state_dict()) == options


@pytest.mark.parametrize(
    ("options", "verdicts"),
    [
        (NetworkOptions(ndf=2), 6),
        (NetworkOptions(netD="n_layers", n_layers_D=2, ndf=2, norm="batch"), 14),
        (NetworkOptions(netD="n_layers", n_layers_D=4, ndf=2), 2),
        (NetworkOptions(netD="pixel", ndf=2, norm="none"), 64),
    ],
    ids=["basic", "two layers", "four layers", "pixel"],
)
def test_discriminators_judge_patches_and_are_told_by_their_weights(options, verdicts):
    discriminator = make_discriminator(options).eval()
    verdict = discriminator(torch.rand(2, 3, 64, 64))
    assert verdict.shape == (2, 1, verdicts, verdicts)
    assert recognise_discriminator(discriminator.state_dict()) == options
    assert recognise_generator(discriminator.state_dict()) is None


def test_the_basic_discriminator_sees_70_pixels():
    discriminator = make_discriminator(NetworkOptions(ndf=2, norm="none")).eval()
    image = torch.rand(1, 3, 128, 128, requires_grad=True)
    discriminator(image)[0, 0, 7, 7].backward()
    seen = image.grad.abs().sum(dim=(0, 1)).nonzero()
    assert (seen.amax(0) - seen.amin(0) + 1).tolist() == [70, 70]


@pytest.mark.parametrize("name", ["resnet_6blocks", "resnet_9blocks"])
def test_a_generator_reaches_as_far_as_it_says(name):
    generator = make_generator(NetworkOptions(netG=name, ngf=2, norm="none")).double()
    initialise(generator, "orthogonal", 1.0)
    image = torch.rand(1, 3, 256, 256, dtype=torch.float64, requires_grad=True)
    generator(image)[0, :, 128, 128].sum().backward()
    seen = image.grad.abs().sum(dim=(0, 1)).nonzero()
    reached = max((128 - seen.amin(0)).max(), (seen.amax(0) - 128).max())
    assert generator.reach_px - 8 <= reached <= generator.reach_px


def test_checkpointed_gradients_are_the_same():
    gan = CycleGan(SMALL, seed=0)
    image = torch.rand(1, 3, 32, 32)
    found = []
    for keep in (True, False):
        gan.keep_activations(keep)
        gan.zero_grad()
        gan.G_A(image).square().mean().backward()
        found.append([p.grad.clone() for p in gan.G_A.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("n", [1, 3])
def test_the_instance_norm_is_torchs(dtype, n):
    x = torch.randn(n, 5, 9, 7) * 3 + 1
    expected = nn.functional.instance_norm(x)
    found = InstanceNorm(5)(x.to(dtype))
    assert found.dtype == dtype
    torch.testing.assert_close(
        found.float(), expected, atol=1e-5 if dtype == torch.float32 else 0.05, rtol=0
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_instance_norm_s_gradient_is_right_in_every_layout(dtype, n, layout):
    generator = torch.Generator().manual_seed(0)
    x, given = (torch.randn(n, 6, 8, 8, generator=generator, dtype=torch.float64) for _ in "xg")
    exact = x.clone().requires_grad_()
    variance, mean = torch.var_mean(exact, dim=(2, 3), keepdim=True, unbiased=False)
    ((exact - mean) / torch.sqrt(variance + 1e-5)).backward(given)
    for arriving in (torch.contiguous_format, torch.channels_last):
        found = x.to(dtype).contiguous(memory_format=layout).requires_grad_()
        InstanceNorm(6)(found).backward(given.to(dtype).contiguous(memory_format=arriving))
        tolerance = 1e-5 if dtype == torch.float32 else 0.05
        torch.testing.assert_close(found.grad.double(), exact.grad, atol=tolerance, rtol=0)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_padding_keeps_bf16_and_its_gradient_is_right_in_every_layout(layout):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 3, 8, 8, generator=generator).bfloat16().float()
    given = torch.randn(2, 3, 12, 12, generator=generator).bfloat16().float()
    exact = x.clone().requires_grad_()
    nn.functional.pad(exact, (2, 2, 2, 2), mode="reflect").backward(given)
    found = x.bfloat16().contiguous(memory_format=layout).requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        padded = ReflectionPad(2)(found)
    assert padded.dtype == torch.bfloat16
    padded.backward(given.bfloat16().contiguous(memory_format=layout))
    torch.testing.assert_close(found.grad.float(), exact.grad, atol=0.05, rtol=0)


def test_pooled_statistics_of_parts_are_those_of_the_whole():
    x = torch.randn(1, 4, 16, 16) * 2 + 3
    parts = x.unflatten(2, (2, 8)).permute(0, 2, 1, 3, 4).flatten(0, 1)
    network = nn.Sequential(InstanceNorm(4))
    with pooled_statistics(network) as statistics:
        pooled = network(parts)
    torch.testing.assert_close(statistics["0"][0], x.mean((0, 2, 3)))
    torch.testing.assert_close(statistics["0"][1], x.var((0, 2, 3), unbiased=False))
    with fixed_statistics(network, statistics):
        fixed = torch.cat([network(part[None]) for part in parts])
    torch.testing.assert_close(fixed, pooled)
    torch.testing.assert_close(torch.cat(list(fixed), dim=1)[None], network(x))
    assert all(m.statistics is None and not m.pooling for m in instance_norms(network).values())


@pytest.mark.parametrize(
    ("kind", "deviation"),
    [
        ("normal", 0.02),
        ("xavier", 0.02 * math.sqrt(2 / (2 * 64 * 9))),
        ("kaiming", math.sqrt(2 / (64 * 9))),
        ("orthogonal", 0.02 / math.sqrt(64 * 9)),
    ],
)
def test_first_weights_have_their_deviation(kind, deviation):
    layer = initialise(nn.Sequential(nn.Conv2d(64, 64, 3)), kind, 0.02)[0]
    assert layer.weight.std().item() == pytest.approx(deviation, rel=0.05)
    assert not layer.bias.any()


def test_the_seed_decides_the_first_weights_and_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    one, same, other = (CycleGan(SMALL, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    for name, value in one.state_dict().items():
        assert torch.equal(value, same.state_dict()[name])
    weight = "G_A.model.1.weight"
    assert not torch.equal(one.state_dict()[weight], other.state_dict()[weight])
    assert not torch.equal(one.G_A.model[1].weight, one.G_B.model[1].weight)


def test_gan_losses_are_their_formulas():
    verdict = torch.tensor([[[[0.5, -1.0]]]])
    assert gan_loss(verdict, real=True, mode="lsgan").item() == pytest.approx((0.25 + 4) / 2)
    assert gan_loss(verdict, real=False, mode="lsgan").item() == pytest.approx((0.25 + 1) / 2)
    entropy = [-math.log(1 / (1 + math.exp(-v))) for v in (0.5, -1.0)]
    found = gan_loss(verdict, real=True, mode="vanilla").item()
    assert found == pytest.approx(sum(entropy) / 2)
    both = discriminator_loss(verdict, torch.zeros(1, 1, 1, 2), "lsgan")
    assert both.item() == pytest.approx(0.5 * 2.125)


def test_a_full_pool_exchanges_half_of_its_queries_for_earlier_images():
    pool, generator = ImagePool(5), torch.Generator().manual_seed(0)
    given = [torch.full((1, 3, 2, 2), float(i)) for i in range(400)]
    back = [int(pool.exchange(image, generator).mean()) for image in given]
    assert back[:5] == [0, 1, 2, 3, 4]
    earlier = [b < i for i, b in enumerate(back)][5:]
    assert 0.4 < sum(earlier) / len(earlier) < 0.6
    assert all(b <= i for i, b in enumerate(back))
    assert len(pool.images) == 5
    untouched = torch.rand(2, 3, 4, 4)
    assert ImagePool(0).exchange(untouched, generator) is untouched


def test_learning_rates_of_each_policy():
    linear = CycleGanOptions(n_epochs=2, n_epochs_decay=3)
    shares = [learning_rate_share(linear, epoch) for epoch in range(1, 6)]
    assert shares == pytest.approx([1, 1, 0.75, 0.5, 0.25])
    step = CycleGanOptions(lr_policy="step", lr_decay_iters=2)
    assert [learning_rate_share(step, e) for e in (1, 2, 3, 5)] == pytest.approx([1, 1, 0.1, 0.01])
    cosine = CycleGanOptions(lr_policy="cosine", n_epochs=4)
    assert [learning_rate_share(cosine, e) for e in (1, 3, 5)] == pytest.approx([1, 0.5, 0])


@pytest.mark.parametrize(
    ("options", "values", "message"),
    [
        (NetworkOptions, {"ngf": 0}, "ngf must be at least 1"),
        (NetworkOptions, {"init_gain": 0}, "init_gain must be above 0"),
        (PreprocessOptions, {"load_size": 128}, "load_size 128 is less than crop_size 256"),
        (CycleGanOptions, {"lr": 0}, "lr must be above 0"),
        (CycleGanOptions, {"beta1": 1}, "beta1 must be in"),
        (CycleGanOptions, {"lambda_A": -1}, "lambda_A must be at least 0"),
        (CycleGanOptions, {"collapse_threshold": 1}, "collapse_threshold must be in"),
        (
            CycleGanOptions,
            {"batch_size": 2, "images": PreprocessOptions("none")},
            "batch_size 2 needs images of one size",
        ),
    ],
)
def test_options_out_of_bounds_are_refused(options, values, message):
    with pytest.raises(ValueError, match=message):
        options(**values)
