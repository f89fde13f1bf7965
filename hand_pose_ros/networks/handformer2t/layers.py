"""Multi-layer perceptrons with weights per token, and attention among few tokens."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class TokenLinear(nn.Module):
    """A linear layer for each token, or one for all (`tokens` 1)."""

    def __init__(self, tokens: int, inputs: int, outputs: int) -> None:
        super().__init__()
        self.shared = tokens == 1
        self.weight = nn.Parameter(torch.empty(tokens, inputs, outputs))
        self.bias = nn.Parameter(torch.empty(tokens, outputs))
        # As torch's Linear begins.
        bound = 1 / math.sqrt(inputs)
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, vectors: Tensor) -> Tensor:
        """(B, T, inputs), or (B, 1, inputs) that all tokens read -> (B, T, outputs)."""
        if self.shared:
            return vectors @ self.weight[0] + self.bias[0]
        return (vectors.transpose(0, 1) @ self.weight).transpose(0, 1) + self.bias


class TokenMLP(nn.Module):
    """One hidden layer, per token or shared."""

    def __init__(self, tokens: int, inputs: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.first = TokenLinear(tokens, inputs, hidden)
        self.second = TokenLinear(tokens, hidden, outputs)

    def forward(self, vectors: Tensor) -> Tensor:
        """As `TokenLinear`."""
        outputs: Tensor = self.second(torch.relu(self.first(vectors)))
        return outputs


class Attention(nn.Module):
    """Multi-head attention, the queries added to it and a layer norm behind (Eqs. 9-11, 15, 17; no feed-forward).

    Without `residual` as the equations are printed: neither sum nor norm.
    """

    def __init__(self, channels: int, heads: int, residual: bool) -> None:
        super().__init__()
        self.heads, self.factor = heads, 1 / math.sqrt(channels / heads)
        self.query = nn.Linear(channels, channels)
        self.key = nn.Linear(channels, channels)
        self.value = nn.Linear(channels, channels)
        self.output = nn.Linear(channels, channels)
        self.norm = nn.LayerNorm(channels) if residual else None

    def forward(self, queries: Tensor, memory: Tensor) -> Tensor:
        """queries (B, T, d), memory (B, M, d) -> (B, T, d)."""
        query, key, value = self._split(self.query(queries)), self._split(self.key(memory)), self.value(memory)
        scores = self.factor * query @ key.transpose(2, 3)
        pooled = torch.softmax(scores, dim=3) @ self._split(value)
        attended: Tensor = self.output(pooled.transpose(1, 2).reshape(queries.shape))
        return attended if self.norm is None else self.norm(queries + attended)

    def _split(self, tokens: Tensor) -> Tensor:
        return tokens.reshape(*tokens.shape[:2], self.heads, -1).transpose(1, 2)
