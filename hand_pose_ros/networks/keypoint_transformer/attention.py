"""DETR's encoder and decoder layers (post-norm), written out so that masks, export and attention maps are plain.

Parameters have torch's own layout (`in_proj_weight` holds query, key and value).
"""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import Tensor, nn

# Added in place of minus infinity: exp(-1e4) is 0 in float32, and it fits half precision.
BLOCKED: Final = -1e4


class MultiHeadAttention(nn.Module):
    """Scaled dot-product attention with torch's parameters."""

    def __init__(self, channels: int, heads: int, dropout: float) -> None:
        super().__init__()
        if channels % heads:
            raise ValueError(f"channels ({channels}) must be a multiple of heads ({heads})")
        self.heads, self.width = heads, channels // heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * channels, channels))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * channels))
        self.out_proj = nn.Linear(channels, channels)
        self.dropout = nn.Dropout(dropout)
        nn.init.xavier_uniform_(self.in_proj_weight)
        nn.init.zeros_(self.out_proj.bias)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, blocked: Tensor) -> tuple[Tensor, Tensor]:
        """query (B or 1, Q, C), key and value (B, K, C), blocked (B or 1, Q or 1, K) bool.

        Returns:
            (B, Q, C), and the weights (B, Q, K), mean over the heads.
        """
        weights, biases = self.in_proj_weight.chunk(3), self.in_proj_bias.chunk(3)
        q, k, v = (
            self._split(nn.functional.linear(tokens, weight, bias))
            for tokens, weight, bias in zip((query, key, value), weights, biases, strict=True)
        )
        scores = q @ k.transpose(2, 3) / math.sqrt(self.width)
        scores = scores.masked_fill(blocked[:, None], BLOCKED)
        attention = torch.softmax(scores, dim=3)
        pooled = self.dropout(attention) @ v
        joined = pooled.transpose(1, 2).reshape(pooled.shape[0], query.shape[1], query.shape[2])
        return self.out_proj(joined), attention.mean(dim=1)

    def _split(self, tokens: Tensor) -> Tensor:
        batch, count, _ = tokens.shape
        return tokens.reshape(batch, count, self.heads, self.width).transpose(1, 2)


class SelfAttentionLayer(nn.Module):
    """Attention among the tokens, then a feed-forward, a layer norm after each sum."""

    def __init__(self, channels: int, heads: int, feed_forward: int, dropout: float) -> None:
        super().__init__()
        self.self_attn = MultiHeadAttention(channels, heads, dropout)
        self.linear1 = nn.Linear(channels, feed_forward)
        self.linear2 = nn.Linear(feed_forward, channels)
        self.norm1 = nn.LayerNorm(channels)
        self.norm2 = nn.LayerNorm(channels)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor, blocked: Tensor) -> Tensor:
        """tokens (B, K, C); blocked (B, 1, K) bool."""
        attended, _ = self.self_attn(tokens, tokens, tokens, blocked)
        tokens = self.norm1(tokens + self.dropout(attended))
        inner = self.linear2(self.dropout(torch.relu(self.linear1(tokens))))
        outer: Tensor = self.norm2(tokens + self.dropout(inner))
        return outer


class SelfAttention(nn.Module):
    """N_SA layers; the classifier reads each layer's output through one shared norm, the decoder reads the last raw."""

    def __init__(self, layers: int, channels: int, heads: int, feed_forward: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(SelfAttentionLayer(channels, heads, feed_forward, dropout) for _ in range(layers))
        self.inter_norm = nn.LayerNorm(channels)

    def forward(self, tokens: Tensor, blocked: Tensor) -> tuple[Tensor, Tensor]:
        """tokens (B, K, C) -> memory (B, K, C) and what the classifier reads (max(N_SA, 1), B, K, C)."""
        read: list[Tensor] = []
        for layer in self.layers:
            tokens = layer(tokens, blocked)
            read.append(self.inter_norm(tokens))
        return tokens, torch.stack(read or [self.inter_norm(tokens)])


class CrossAttentionLayer(nn.Module):
    """Queries look at each other, then at the tokens."""

    def __init__(self, channels: int, heads: int, feed_forward: int, dropout: float) -> None:
        super().__init__()
        self.self_attn = MultiHeadAttention(channels, heads, dropout)
        self.multihead_attn = MultiHeadAttention(channels, heads, dropout)
        self.linear1 = nn.Linear(channels, feed_forward)
        self.linear2 = nn.Linear(feed_forward, channels)
        self.norm1 = nn.LayerNorm(channels)
        self.norm2 = nn.LayerNorm(channels)
        self.norm3 = nn.LayerNorm(channels)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, target: Tensor, queries: Tensor, memory: Tensor, query_blocked: Tensor, memory_blocked: Tensor
    ) -> tuple[Tensor, Tensor]:
        """target (B or 1, Q, C), queries (1, Q, C), memory (B, K, C); masks (1, Q, Q) and (B, Q or 1, K) bool.

        Returns:
            the new target (B, Q, C), and the weights (B, Q, K).
        """
        placed = target + queries
        attended, _ = self.self_attn(placed, placed, target, query_blocked)
        target = self.norm1(target + self.dropout(attended))
        attended, weights = self.multihead_attn(target + queries, memory, memory, memory_blocked)
        target = self.norm2(target + self.dropout(attended))
        inner = self.linear2(self.dropout(torch.relu(self.linear1(target))))
        return self.norm3(target + self.dropout(inner)), weights


class CrossAttention(nn.Module):
    """N_CA layers from a target of zeros."""

    def __init__(self, layers: int, channels: int, heads: int, feed_forward: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(CrossAttentionLayer(channels, heads, feed_forward, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(channels)

    def forward(
        self, queries: Tensor, memory: Tensor, query_blocked: Tensor, memory_blocked: Tensor
    ) -> tuple[Tensor, Tensor]:
        """As `CrossAttentionLayer`: every layer's output (N_CA, B, Q, C), and the last layer's weights (B, Q, K)."""
        target = torch.zeros_like(queries)
        outputs: list[Tensor] = []
        weights = torch.empty(0)
        for layer in self.layers:
            target, weights = layer(target, queries, memory, query_blocked, memory_blocked)
            outputs.append(self.norm(target))
        return torch.stack(outputs), weights
