"""3x3 convolutions with a quarter of the multiplications: the minimal filtering algorithm F(4x4, 3x3), for CPUs.

After Lavin & Gray, "Fast Algorithms for Convolutional Neural Networks" (CVPR 2016): a tile of 4x4 outputs is
Y = A^T [(G g G^T) * (B^T d B)] A, g the 3x3 kernel, d the 6x6 inputs, * elementwise: 36 products in the place of 144.
Summed over channels they are 36 matrix products. A, B and G come from evaluating polynomials at 0, +-3/4, +-3/2 and
infinity: every coefficient of A and B is exact in float32, and rounding errors are half those of the usual 0, +-1, +-2.
"""

import math
import threading
from collections.abc import Sequence
from fractions import Fraction
from functools import cache
from typing import TypeGuard

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from banet.errors import DataError, ModelError
from banet.model.network import BANet

TILE, KERNEL = 4, 3
SIDE = TILE + KERNEL - 1  # of the inputs that one tile of outputs sees
POINTS = tuple(Fraction(k, 4) for k in (0, 3, -3, 6, -6))  # 0, then pairs +-p; infinity is the last row everywhere
PAIRS = ((1, 2), (3, 4))  # rows of points that differ in sign alone
BAND_MIB = 8  # of transformed inputs and products at a time
MIN_CHANNELS, MIN_PLACES = 96, 48 * 48  # with fewer, transforms cost more than the products save

Matrix = tuple[tuple[Fraction, ...], ...]


@cache
def filter_matrices() -> tuple[Matrix, Matrix, Matrix]:
    """Return A^T (4x6), B^T (6x6) and G (6x3), exact.

    Toom and Cook: rows of G evaluate the kernel as a polynomial at the points, over the products of their differences;
    rows of B^T are the coefficients of the product of (x - b) over all other points b.
    """
    others = [[b for b in POINTS if b != a] for a in POINTS]
    A = [tuple(a**k for k in range(TILE)) for a in POINTS]
    B = [(*_with_roots(rest), Fraction(0)) for rest in others]
    scales = [math.prod(a - b for b in rest) for a, rest in zip(POINTS, others, strict=True)]
    G = [tuple(a**k / scale for k in range(KERNEL)) for a, scale in zip(POINTS, scales, strict=True)]
    A.append(tuple(Fraction(k == TILE - 1) for k in range(TILE)))
    B.append(_with_roots(POINTS))
    G.append(tuple(Fraction(k == KERNEL - 1) for k in range(KERNEL)))
    return tuple(zip(*A, strict=True)), tuple(B), tuple(G)


class WinogradConvolution(nn.Conv2d):
    """A 3x3 convolution (stride 1, padding 1) computed by F(4x4, 3x3): float32 on the CPU, for inference.

    (B, C, H, W) to (B, K, H, W) of any size, channels_last in (else it is converted) and out. The weights are
    transformed anew in every pass, which takes 1 to 3 % of it at 128x128 places: nothing is kept beside them. Small
    images, and passes that ask for a gradient, take the direct convolution.
    """

    def __init__(self, convolution: nn.Conv2d) -> None:
        """Share the weights and bias of this convolution.

        Raises:
            ModelError: a convolution of another kind, or not in float32 on the CPU.
        """
        if not _fits(convolution):
            raise ModelError(f"{convolution}: F(4x4, 3x3) takes 3x3, stride 1, padding 1, dilation 1 and one group")
        _require_float32(convolution)
        super().__init__(convolution.in_channels, convolution.out_channels, KERNEL, padding=1, device="meta")
        self.weight, self.bias = convolution.weight, convolution.bias

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Return the convolved features, (B, K, H, W).

        Raises:
            DataError: features in another type than float32, or not on the CPU.
        """
        if x_BCHW.dtype != torch.float32 or x_BCHW.device.type != "cpu":
            raise DataError(f"features in {x_BCHW.dtype} on {x_BCHW.device}: convert them to float32 on the CPU")
        differentiated = torch.is_grad_enabled() and any(t.requires_grad for t in (x_BCHW, *self.parameters()))
        if differentiated or x_BCHW.shape[2] * x_BCHW.shape[3] < MIN_PLACES:
            return super().forward(x_BCHW)
        return convolve(x_BCHW, self.weight, self.bias)


def with_winograd(model: BANet) -> BANet:
    """Return a network of the same weights for inference on CPUs, in evaluation mode, with fewer multiplications.

    Its 3x3 convolutions with at least 96 channels in and out, dilated ones apart, are computed by F(4x4, 3x3). For
    images in `torch.channels_last`, under `torch.no_grad` or `torch.inference_mode`; not for training, export or
    `torch.compile`. On cores of its own it takes about three quarters of the network's time
    (`benchmarks/inference.py`); where threads wait for cores that others use it can be slower than the network. Costs:
    rounding errors of a layer about twice as large (RMS 1e-6 for outputs around 1), and up to 24 MiB of scratch memory
    for each thread that calls it, kept until the thread ends. The weights are shared and take no more memory.

    Raises:
        ModelError: the network is not in float32 on the CPU.
    """
    _require_float32(model)
    with torch.device("meta"):
        fast = BANet(model.config)
    fast.load_state_dict(model.state_dict(), assign=True)
    for parent in list(fast.modules()):
        for name, module in parent.named_children():
            if _fits(module) and min(module.weight.shape[:2]) >= MIN_CHANNELS:
                setattr(parent, name, WinogradConvolution(module))
    return fast.eval()


def _fits(module: nn.Module) -> TypeGuard[nn.Conv2d]:
    if not isinstance(module, nn.Conv2d):
        return False
    shape = (module.kernel_size, module.stride, module.padding, module.dilation)
    return shape == ((3, 3), (1, 1), (1, 1), (1, 1)) and module.groups == 1 and module.padding_mode == "zeros"


def _require_float32(module: nn.Module) -> None:
    for name, p in module.named_parameters():
        if p.dtype != torch.float32 or p.device.type != "cpu":
            raise ModelError(f"{name} in {p.dtype} on {p.device}: convert the model to float32 on the CPU")


def convolve(x_BCHW: Tensor, weight_KCij: Tensor, bias_K: Tensor | None) -> Tensor:
    """Convolve, padded by zeros to the same size, by F(4x4, 3x3); float32, no gradient."""
    K, C = weight_KCij.shape[:2]
    G = torch.tensor([[float(value) for value in row] for row in filter_matrices()[2]])
    U = torch.kron(G, G) @ weight_KCij.permute(3, 2, 1, 0).reshape(KERNEL**2, C * K)  # columns first, as in the bands
    x_BHWC = x_BCHW.permute(0, 2, 3, 1).contiguous()
    y_BHWK = x_BHWC.new_empty(*x_BHWC.shape[:3], K)
    for x_HWC, y_HWK in zip(x_BHWC, y_BHWK, strict=True):
        _convolve_image(x_HWC, U.view(SIDE**2, C, K), bias_K, y_HWK)
    return y_BHWK.permute(0, 3, 1, 2)


def _convolve_image(x_HWC: Tensor, U: Tensor, bias_K: Tensor | None, y_HWK: Tensor) -> None:
    """In bands of n rows of tiles, few enough that what is transformed stays in the cache."""
    (H, W, C), K = x_HWC.shape, y_HWK.shape[-1]
    down, across = -(-H // TILE), -(-W // TILE)
    most = BAND_MIB * 2**20 // (4 * SIDE**2 * across * (C + K))
    n = min(range(1, max(1, most) + 1), key=lambda n: -(-down // n) * (n + 1))  # a band costs about one row more
    tiles = (SIDE, n, across)
    shapes = [(SIDE, n, TILE * across + 2, C), (SIDE, *tiles, C), (SIDE, *tiles, K), (TILE, *tiles, K)]
    shapes += [(n, TILE, across, TILE, K), (math.prod(tiles) * C,), (2, *tiles, K)]
    rows, V, M, columns, image, odd_x, odd_y = _scratch(shapes)
    rows[:, :, 0] = 0  # beside the image; so is what the last tiles have beyond it
    rows[:, :, W + 1 :] = 0
    for top in range(0, H, TILE * n):
        bottom = top + TILE * n
        band = x_HWC[max(top - 1, 0) : bottom + 1]
        if band.shape[0] < TILE * n + 2:
            band = F.pad(band, (0, 0, 0, 0, int(top == 0), max(bottom + 1 - H, 0)))
        _transform_input(band, 0, rows[:, :, 1 : W + 1], odd_x[: n * W * C].view(n, W, C))
        _transform_input(rows, 2, V, odd_x.view(*tiles, C))
        torch.bmm(V.view(SIDE**2, -1, C), U, out=M.view(SIDE**2, -1, K))
        _transform_output(M, columns, odd_y)
        _transform_output(columns.transpose(0, 1), image.permute(1, 3, 0, 2, 4), odd_y[:, :TILE])
        y = image.view(TILE * n, TILE * across, K)[: H - top, :W]
        torch.add(y, 0 if bias_K is None else bias_K, out=y_HWK[top:bottom])


_kept = threading.local()


def _scratch(shapes: list[tuple[int, ...]]) -> list[Tensor]:
    """Memory that lasts from call to call, one for each thread: fresh memory costs a page fault every 4 KiB."""
    sizes = [math.prod(shape) for shape in shapes]
    if getattr(_kept, "numbers", torch.empty(0)).numel() < sum(sizes):
        with torch.inference_mode(False):  # else it could be used in that mode alone
            _kept.numbers = torch.empty(sum(sizes))
    parts = _kept.numbers[: sum(sizes)].split(sizes)
    return [part.view(shape) for part, shape in zip(parts, shapes, strict=True)]


def _transform_input(x: Tensor, dim: int, out: Tensor, odd: Tensor) -> None:
    """B^T along `dim`; rows of +p and -p have the same even columns, and the opposite odd ones (computed in `odd`)."""
    last = x.shape[dim] - SIDE  # where the last tile begins
    places = [x[(slice(None),) * dim + (slice(i, i + last + 1, TILE),)] for i in range(SIDE)]
    B = filter_matrices()[1]
    for plus, minus in PAIRS:
        lead = B[plus][-3]  # so that one coefficient is 1 after the division
        _sum(B[plus][::2], places[::2], out[minus])
        _sum([value / lead for value in B[plus][1::2]], places[1::2], odd)
        torch.add(out[minus], odd, alpha=float(lead), out=out[plus])
        out[minus].sub_(odd, alpha=float(lead))
    for row in (0, SIDE - 1):
        _sum(B[row], places, out[row])


def _transform_output(x: Tensor, out: Tensor, odd: Tensor) -> None:
    """A^T x; the columns of +p and -p have the same even rows and the opposite odd ones. Overwrites x."""
    A = filter_matrices()[0]
    for (plus, minus), difference in zip(PAIRS, odd, strict=True):
        torch.sub(x[plus], x[minus], out=difference)
        x[plus].add_(x[minus])
    for k, row in enumerate(A):
        pairs = odd if k % 2 else (x[1], x[3])
        _sum((row[0], row[1], row[3], row[5]), (x[0], *pairs, x[5]), out[k])


def _sum(coefficients: Sequence[Fraction], x: Sequence[Tensor], out: Tensor) -> None:
    """The sum of c x, into out; a term with c = 1 goes first, for it saves a pass."""
    terms = sorted(((float(c), t) for c, t in zip(coefficients, x, strict=True) if c), key=lambda term: term[0] != 1)
    (c, first), (d, second), *rest = terms
    torch.add(first if c == 1 else torch.mul(first, c, out=out), second, alpha=d, out=out)
    for c, t in rest:
        out.add_(t, alpha=c)


def _with_roots(roots: Sequence[Fraction]) -> tuple[Fraction, ...]:
    """Coefficients of the product of (x - root), from x^0 up."""
    product: tuple[Fraction, ...] = (Fraction(1),)
    for root in roots:
        product = tuple(a - root * b for a, b in zip((Fraction(0), *product), (*product, Fraction(0)), strict=True))
    return product
