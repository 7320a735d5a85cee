"""The head for the mood towards each target: two narrow transformer layers on the encoder's states, which are there anyway.

::

    states of layer 4 [1, tokens, 384] ─▶ linear ─▶ + embedding of the places [targets, tokens] ─▶ layers ─▶ mean over the target's tokens ┐
    logits of the second exit [1, 3] ─────────────────────────────────────────────────────────────────────────────────────────────────────┴▶ logits [targets, 3]

A *place* says where a token stands as seen from the target: its distance to the target's nearest token, -REACH to REACH, and whether it is part of
another target.
"""

import torch
import torch.nn.functional as F

from mood_data import DISTANCES, REACH

STATES, WIDTH, INNER, HEADS, LAYERS, EPSILON = 384, 128, 256, 4, 2, 1e-12


class Layer(torch.nn.Module):
    def __init__(self, dropout: float):
        super().__init__()
        self.qkv, self.out = torch.nn.Linear(WIDTH, 3 * WIDTH), torch.nn.Linear(WIDTH, WIDTH)
        self.up, self.down = torch.nn.Linear(WIDTH, INNER), torch.nn.Linear(INNER, WIDTH)
        self.norm1, self.norm2 = torch.nn.LayerNorm(WIDTH, EPSILON), torch.nn.LayerNorm(WIDTH, EPSILON)
        self.dropout = torch.nn.Dropout(dropout)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        batch, tokens, _ = x.shape
        q, k, v = self.qkv(x).view(batch, tokens, 3, HEADS, WIDTH // HEADS).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask[:, None, None, :])
        x = self.norm1(x + self.dropout(self.out(mixed.transpose(1, 2).reshape(batch, tokens, WIDTH))))
        return self.norm2(x + self.dropout(self.down(F.gelu(self.up(x)))))


class MoodHead(torch.nn.Module):
    def __init__(self, dropout: float = 0.15):
        super().__init__()
        self.narrow = torch.nn.Linear(STATES, WIDTH)
        self.near, self.other = torch.nn.Embedding(DISTANCES, WIDTH), torch.nn.Parameter(torch.zeros(WIDTH))
        self.norm = torch.nn.LayerNorm(WIDTH, EPSILON)
        self.layers = torch.nn.ModuleList(Layer(dropout) for _ in range(LAYERS))
        self.head = torch.nn.Linear(WIDTH + 3, 3)
        self.dropout = torch.nn.Dropout(dropout)

    def table(self) -> torch.Tensor:
        """Embeddings of all places."""
        return torch.cat([self.near.weight, self.near.weight + self.other])

    def forward(self, states: torch.Tensor, exit_logits: torch.Tensor, places: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """``states`` [batch, tokens, 384], ``exit_logits`` [batch, 3], ``places`` and ``mask`` [batch, tokens]: a row per target."""
        x = self.narrow(self.dropout(states)) + F.embedding(places, self.table())
        x = self.dropout(self.norm(x))
        for layer in self.layers:
            x = layer(x, mask)
        own = ((places == REACH) & mask).float()
        pooled = (x * (own / own.sum(1, keepdim=True)).unsqueeze(-1)).sum(1)
        return self.head(torch.cat([self.dropout(pooled), exit_logits], 1))
