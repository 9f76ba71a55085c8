from functools import partial

import pytest
import torch
from plain_context import spatial_context_plain
from torch.autograd import forward_ad

from mscf.models import attention
from mscf.models import tiled_attention as module
from mscf.models.attention import attend
from mscf.models.context import SpatialContext
from mscf.models.tiled_attention import tiled_attention

OP = torch.ops.mscf.tiled_attention.default


def plain(query, key, value):
    return torch.softmax(query @ key.mT, dim=-1) @ value


def inputs(n=50, m=70, d=8, channels=16, batch=2, dtype=torch.float64, scale=1.0):
    random = torch.Generator().manual_seed(n + m)
    shapes = (batch, n, d), (batch, m, d), (batch, m, channels)
    made = [torch.randn(s, generator=random, dtype=dtype) for s in shapes]
    return [made[0] * scale, made[1], made[2]]


def result_and_gradients(form, tensors):
    tensors = [x.detach().requires_grad_() for x in tensors]
    out = form(*tensors)
    weights = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view_as(out)
    return [out.detach(), *torch.autograd.grad((out * weights).sum(), tensors)]


def assert_as_plain(tensors, tolerance=1e-10, form=attend):
    expected = result_and_gradients(plain, [x.double() for x in tensors])
    for got, want in zip(result_and_gradients(form, tensors), expected, strict=True):
        scale = want.abs().max().clamp(min=1e-3)
        torch.testing.assert_close(
            got.double() / scale, want / scale, rtol=0, atol=tolerance
        )


@pytest.fixture
def small_tiles(monkeypatch):
    """9 x 13 entries of the map at once: no size below fits."""
    monkeypatch.setattr(module, "TILE", (9, 13))


@pytest.fixture(params=["oneDNN's product", "torch's product", "fused by torch"])
def each_form(request, monkeypatch):
    """The forms that float32 is computed in, by processor; the last one on a GPU."""
    monkeypatch.setattr(module, "INTEL", request.param == "torch's product")
    fused = request.param == "fused by torch"
    monkeypatch.setattr(attention, "tiles_pay", lambda _: not fused)


@pytest.mark.parametrize(
    ("n", "m"), [(1, 1), (1, 40), (40, 1), (9, 13), (10, 14), (32, 39), (70, 70)]
)
def test_tiles_give_what_the_whole_map_gives(n, m, small_tiles) -> None:
    assert_as_plain(inputs(n, m))


@pytest.mark.parametrize("intel", [True, False])
def test_a_size_that_no_tile_divides_gives_what_the_whole_map_gives(
    intel, monkeypatch
) -> None:
    monkeypatch.setattr(module, "INTEL", intel)  # the one product, or the other
    n = 57 * 59  # 3.75 tiles of 896, 7.5 of 448
    assert_as_plain(inputs(n, n, channels=8, batch=1, dtype=torch.float32), 1e-5)
    assert_as_plain(inputs(n, n, channels=8, batch=1))


@pytest.mark.parametrize("scale", [1e-3, 30, 1e3])
def test_flat_and_saturated_rows_stay_exact(scale, small_tiles) -> None:
    # At 1e3 rows are one-hot and products far beyond what exp can take.
    assert_as_plain(inputs(scale=scale), 1e-9)


def test_a_row_whose_largest_key_is_not_among_those_asked_stays_exact() -> None:
    query, key, value = inputs(scale=1.0)
    key[:, 1] *= 500  # not a 16th one; exp of its distance to the others overflows
    assert_as_plain([query, key, value], 1e-9)
    assert_as_plain([x.float() for x in (query, key, value)], 1e-3)


def test_any_memory_layout_gives_the_same(small_tiles, each_form) -> None:
    for layout in (
        lambda x: x.mT.contiguous().mT,  # what contiguous feature maps give
        lambda x: torch.stack([x, x], dim=-1)[..., 0],
        lambda x: torch.cat([x, x])[: len(x)],
    ):
        assert_as_plain([layout(x) for x in inputs(dtype=torch.float32)], 1e-5)


def test_a_gradient_of_any_layout_gives_the_same(each_form) -> None:
    tensors = [x.requires_grad_() for x in inputs(batch=1, dtype=torch.float32)]
    for grad in (torch.ones(()).expand(1, 50, 16), torch.randn(1, 16, 50).mT):
        got, want = (
            torch.autograd.grad(form(*tensors), tensors, grad)
            for form in (attend, plain)
        )
        for a, b in zip(got, want, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("n", "m"), [(1, 1), (1, 40), (40, 1)])
def test_a_single_position_gives_what_the_whole_map_gives(n, m, each_form) -> None:
    tensors = inputs(n, m, dtype=torch.float32)
    got, want = (result_and_gradients(form, tensors) for form in (attend, plain))
    for a, b in zip(got, want, strict=True):  # of one key, query's gradients are 0
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("d", [4, 16, 40])  # narrower than value, as wide, wider
def test_any_width_of_query_and_key_gives_what_the_whole_map_gives(
    d, each_form
) -> None:
    assert_as_plain(inputs(d=d, dtype=torch.float32, scale=0.3), 1e-5)


def test_an_empty_batch_gives_an_empty_one(each_form) -> None:
    tensors = inputs(batch=0, dtype=torch.float32)
    query, key, value = (x.requires_grad_() for x in tensors)
    out = attend(query, key, value)
    out.sum().backward()
    assert out.shape == (0, 50, 16)
    assert [x.grad.shape for x in (query, key, value)] == [
        x.shape for x in (query, key, value)
    ]


def assert_spreads_as_plain(which, number):
    tensors = inputs(dtype=torch.float32)
    tensors[which][0, 20, 3] = number
    got, want = (result_and_gradients(form, tensors) for form in (attend, plain))
    assert not want[0].isfinite().all()
    assert want[0][1].isfinite().all()  # the other image of the batch
    for a, b in zip(got, want, strict=True):
        torch.testing.assert_close(a.isfinite(), b.isfinite(), rtol=0, atol=0)


@pytest.mark.parametrize("which", [0, 1, 2])
def test_nan_spreads_as_in_the_plain_form(which, small_tiles, each_form) -> None:
    assert_spreads_as_plain(which, float("nan"))


@pytest.mark.parametrize("number", [float("inf"), -float("inf")])
@pytest.mark.parametrize("which", [0, 1, 2])
@pytest.mark.parametrize("intel", [True, False])
def test_an_infinity_spreads_through_tiles_as_in_the_plain_form(
    which, number, intel, small_tiles, monkeypatch
) -> None:  # torch's fused form spreads one in a key less far, into gradients
    monkeypatch.setattr(module, "INTEL", intel)
    assert_spreads_as_plain(which, number)


def test_gradients_are_those_of_finite_differences(small_tiles) -> None:
    tensors = [x.requires_grad_() for x in inputs(6, 15, d=2, channels=3, batch=1)]
    assert torch.autograd.gradcheck(attend, tensors)


def by_dual_numbers(form, tensors, tangents):
    with forward_ad.dual_level():
        out = form(*map(forward_ad.make_dual, tensors, tangents))
        return forward_ad.unpack_dual(out).tangent


def by_jvp(form, tensors, tangents):
    return torch.func.jvp(form, tensors, tangents)[1]


def by_jvp_of_a_vmap(form, tensors, tangents):
    def of_one(*tensors):
        return form(*(x[None] for x in tensors))[0]

    return by_jvp(torch.func.vmap(of_one), tensors, tangents)


def by_jvp_around_another(form, tensors, tangents):
    def around(*tensors):
        one = (torch.ones((), dtype=torch.float64),)  # has the inner one's only tangent
        return torch.func.jvp(lambda x: x * form(*tensors), one, one)[0]

    return by_jvp(around, tensors, tangents)


@pytest.mark.parametrize(
    "tangent", [by_dual_numbers, by_jvp, by_jvp_of_a_vmap, by_jvp_around_another]
)
def test_forward_mode_gives_the_tangent_of_the_plain_form(tangent, each_form) -> None:
    tensors = tuple(inputs())
    tangents = tuple(x.flip(1) for x in tensors)
    got, want = (tangent(form, tensors, tangents) for form in (attend, plain))
    torch.testing.assert_close(got, want, rtol=1e-10, atol=1e-10)


def test_a_compiled_context_gives_tangents_too() -> None:
    block = SpatialContext(16).double().requires_grad_(False)
    torch.nn.init.constant_(block.alpha, 0.7)
    x = torch.randn(2, 16, 6, 7, dtype=torch.float64)
    compiled = torch.compile(block, backend="eager", fullgraph=True)
    compiled(x)  # without tangents: what stands in this graph has none
    got, want = (
        by_dual_numbers(form, [x], [x.flip(1)])
        for form in (compiled, partial(spatial_context_plain, block))
    )
    torch.testing.assert_close(got, want)


@pytest.mark.parametrize(
    ("key", "value"), [((2, 8, 4), (2, 10, 5)), ((2, 8, 3), (2, 8, 5)),
                       ((1, 8, 4), (2, 8, 5)), ((2, 8, 4), (1, 8, 5))]
)  # fmt: skip
def test_what_does_not_belong_together_is_refused(key, value, small_tiles) -> None:
    """Keys that fill whole tiles, too, of which values could be left over."""
    with pytest.raises(ValueError, match="must share"):
        attend(torch.rand(2, 6, 4), torch.rand(key), torch.rand(value))


def test_whole_numbers_are_refused() -> None:
    q, k, v = (torch.ones(1, 4, 2, dtype=torch.int64) for _ in range(3))
    with pytest.raises(TypeError, match=r"floating.*int64"):
        attend(q, k, v)


def test_a_second_derivative_is_refused_by_name(each_form) -> None:
    tensors = [x.requires_grad_() for x in inputs(dtype=torch.float32)]
    (grad,) = torch.autograd.grad(
        attend(*tensors).square().sum(), tensors[0], create_graph=True
    )
    with pytest.raises(RuntimeError, match=r"attention.*backward"):
        grad.sum().backward()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32_and_rounded_once(dtype) -> None:
    tensors = [x.to(dtype) for x in inputs()]
    out = attend(*tensors)
    expected = plain(*(x.double() for x in tensors))
    assert out.dtype == dtype
    torch.testing.assert_close(out, expected.to(dtype), rtol=2e-2, atol=1e-6)
    assert_as_plain(tensors, 1e-2)  # the result's own rounding, and its gradients'


def test_autocast_leaves_float32_as_it_is(small_tiles) -> None:
    tensors = inputs(dtype=torch.float32)

    def autocast(*tensors):
        with torch.autocast("cpu", torch.bfloat16):
            return attend(*tensors)

    assert_as_plain(tensors, 1e-5, autocast)


def test_torch_finds_the_operation_well_described() -> None:
    tensors = [x.requires_grad_() for x in inputs(m=50)]
    torch.library.opcheck(tiled_attention, tensors)


def test_a_compiled_context_gives_the_same_in_one_graph() -> None:
    torch.manual_seed(0)
    block = SpatialContext(16)
    torch.nn.init.constant_(block.alpha, 0.7)
    x = torch.randn(2, 16, 6, 7)
    compiled = torch.compile(block, backend="aot_eager", fullgraph=True)
    gradients = []
    for form in (compiled, block):
        some = x.clone().requires_grad_()
        form(some).square().sum().backward()
        gradients.append(some.grad)
    torch.testing.assert_close(*gradients)


def test_an_exported_context_needs_no_operation_of_ours() -> None:
    block = SpatialContext(16)
    x = torch.randn(1, 16, 6, 7)
    exported = torch.export.export(block, (x,))
    assert OP not in {node.target for node in exported.graph.nodes}
    torch.testing.assert_close(exported.module()(x), block(x))
