"""What an operation is to a profile: held against torch's own list of operations."""

import pytest
import torch
from torch import nn
from torch.utils import flop_counter

from effwidgets.profiling import ProfileOptions, kinds, profile
from effwidgets.profiling.kinds import rule_of
from effwidgets.profiling.macs import FORMULAS

SETS = {"view": kinds._VIEWS, "move": kinds._MOVES, "elementwise": kinds._ELEMENTWISE}
aten = torch.ops.aten

# Arithmetic on tensors whose work is not told by shapes, or that no kernel of ours to look at has: named, never counted.
NAMED = kinds._words(
    """
    _fft_c2c _fft_c2r _fft_r2c _cholesky_solve_helper _compute_linear_combination _linalg_det _linalg_eigh
    _linalg_eigvals _linalg_slogdet _linalg_solve_ex _linalg_svd _spsolve cholesky cholesky_inverse cholesky_solve
    geqrf linalg_cholesky_ex linalg_eig linalg_inv_ex linalg_ldl_factor_ex linalg_ldl_solve linalg_lstsq
    linalg_lu linalg_lu_factor_ex linalg_matrix_exp linalg_qr ormqr triangular_solve
    _cslt_sparse_mm_search _sparse_semi_structured_apply _sparse_semi_structured_apply_dense
    _sparse_semi_structured_tile _sparse_sparse_matmul _sparse_mm_reduce_impl_backward
    _cudnn_attention_forward _cudnn_attention_backward _flash_attention_forward_no_dropout_inplace
    """
)


def operations():
    """Every operation of torch that is reached by calling its default form with a tensor."""
    names = {name.split(".")[0].removeprefix("aten::") for name in torch._C._dispatch_get_all_op_names()}
    for name in sorted(names):
        default = getattr(getattr(aten, name, None), "default", None)
        if default is None or name.startswith(("_test_", "_foobar")):
            continue
        if any("Tensor" in str(argument.type) for argument in default._schema.arguments):
            yield name, default


def test_no_operation_stands_in_two_lists():
    names = [name for words in SETS.values() for name in words]
    assert sorted(names) == sorted(set(names))


def test_no_listed_operation_has_a_formula_as_well():
    listed = {name for words in SETS.values() for name in words}
    assert listed & {name.removeprefix("aten::") for name in FORMULAS} == set()


def test_every_listed_name_is_an_operation_of_torch():
    listed = {name for words in (*SETS.values(), kinds._POINTWISE_TOO, kinds._ONE_DTYPE) for name in words}
    # Written for any torch; some stand under their name in place alone.
    assert [name for name in sorted(listed) if not (hasattr(aten, name) or hasattr(aten, name + "_"))] == []


def test_only_operations_without_a_stated_amount_of_work_are_unknown():
    unknown = {name for name, func in operations() if rule_of(func).kind == "unknown"}
    # The rest is for devices and libraries that are not here: Triton, and what torch added since.
    assert {name for name in unknown - NAMED if "triton" not in name} == set()
    assert NAMED - unknown - {name for name in NAMED if not hasattr(getattr(aten, name, None), "default")} == set()


def test_what_is_done_in_place_is_counted_as_what_is_not():
    for name, func in operations():
        twin = getattr(getattr(aten, name + "_", None), "default", None)
        # Some of these pairs are two ways to say the same; a view made in place is a view.
        if twin is not None and rule_of(func).kind != "compound" and rule_of(twin).kind != "compound":
            assert rule_of(func).kind == rule_of(twin).kind, name


def test_an_operation_that_writes_into_a_given_output_is_counted_as_the_plain_one():
    for name in ("add", "relu", "sum", "mm", "addmm", "cat", "_softmax", "bmm"):
        packet = getattr(aten, name)
        plain = [form for form in packet.overloads() if "out" not in form]
        into = [form for form in packet.overloads() if form.endswith("out")]
        wanted = {rule_of(getattr(packet, form)).kind for form in plain} - {"unknown"}
        assert into
        assert {rule_of(getattr(packet, form)).kind for form in into} <= wanted, name


@pytest.mark.parametrize(
    ("func", "kind"),
    [
        (aten.view.default, "view"),
        (aten.unsqueeze_.default, "view"),
        (aten._nnz.default, "view"),
        (aten.cat.default, "move"),
        (aten.as_strided_copy.default, "move"),
        (aten._pack_padded_sequence.default, "move"),
        (aten.add_.Tensor, "elementwise"),
        (aten._softmax_backward_data.default, "elementwise"),
        (aten._foreach_add.Scalar, "elementwise"),
        (aten.addmm_.default, "matrix"),
        (aten._cdist_backward.default, "matrix"),
        (aten.conv2d.default, "compound"),
        (aten._fft_r2c.default, "unknown"),
        (aten._slow_conv2d_backward.output_mask, "unknown"),
        (torch.ops.quantized.linear_dynamic.default, "matrix"),
        (torch.ops.quantized.add.default, "elementwise"),
        (torch.ops.quantized.cat.default, "move"),
    ],
)
def test_kinds(func, kind):
    assert rule_of(func).kind == kind


def test_an_operation_of_a_library_goes_by_its_full_name_and_never_by_torchs():
    with torch.library._scoped_library("effwidgets_kinds", "FRAGMENT") as library:
        library.define("relu(Tensor x) -> Tensor")
        library.define("mm(Tensor x) -> Tensor")
        ops = torch.ops.effwidgets_kinds
        assert [rule_of(func).name for func in (ops.relu.default, ops.mm.default)] == [
            "effwidgets_kinds::relu",
            "effwidgets_kinds::mm",
        ]
        assert {rule_of(func).kind for func in (ops.relu.default, ops.mm.default)} == {"unknown"}
    assert rule_of(aten.relu.default).name == "relu"


def test_what_takes_functions_has_a_rule_too():
    from torch._higher_order_ops.flex_attention import flex_attention

    assert (rule_of(flex_attention).name, rule_of(flex_attention).kind) == ("flex_attention", "matrix")
    assert rule_of(torch.ops.higher_order.cond).kind == "unknown"


def test_a_formula_that_is_registered_late_is_taken_from_then_on():
    @torch.library.custom_op("effdl_test::late", mutates_args=())
    def late(x: torch.Tensor) -> torch.Tensor:
        return x.clone()

    @late.register_fake
    def _(x: torch.Tensor) -> torch.Tensor:
        return torch.empty_like(x)

    class Late(nn.Module):
        def forward(self, x):
            return torch.ops.effdl_test.late(x)

    def seen():
        return profile(Late(), torch.zeros(2, 3), options=ProfileOptions(backward=False))

    assert [one.op for one in seen().uncounted] == ["effdl_test::late"]
    flop_counter.register_flop_formula(torch.ops.effdl_test.late)(lambda shape, **_: 2 * 5 * shape[0])
    try:
        assert (seen().cost.macs, seen().uncounted) == (10, ())
    finally:
        del flop_counter.flop_registry[torch.ops.effdl_test.late]
    assert seen().cost.macs == 0


def test_a_form_that_torchscript_alone_knows_has_a_kind_too():
    assert rule_of(torch.ops.aten.einsum.sublist).kind == "unknown"
