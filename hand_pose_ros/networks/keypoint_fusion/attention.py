"""Attention among the joints and from one modality's joints to the other's."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from hand_pose_ros.skeleton import NUM_JOINTS


class MultiHeadAttention(nn.Module):
    """Scaled dot-product attention, written out so that export and quantisation see plain products."""

    def __init__(self, channels: int, heads: int, dropout: float) -> None:
        super().__init__()
        if channels % heads:
            raise ValueError(f"channels ({channels}) must be a multiple of heads ({heads})")
        self.heads, self.width = heads, channels // heads
        self.query = nn.Linear(channels, channels)
        self.key = nn.Linear(channels, channels)
        self.value = nn.Linear(channels, channels)
        self.out = nn.Linear(channels, channels)
        self.dropout = nn.Dropout(dropout)

    def forward(self, query: Tensor, memory: Tensor) -> Tensor:
        """query (B, Q, C) attends to memory (B, M, C) -> (B, Q, C)."""
        q, k, v = self._split(self.query(query)), self._split(self.key(memory)), self._split(self.value(memory))
        scores = q @ k.transpose(2, 3) / math.sqrt(self.width)
        pooled = self.dropout(torch.softmax(scores, dim=3)) @ v
        outer: Tensor = self.out(pooled.transpose(1, 2).flatten(2))
        return outer

    def _split(self, tokens: Tensor) -> Tensor:
        batch, count, _ = tokens.shape
        return tokens.reshape(batch, count, self.heads, self.width).transpose(1, 2)


class EncoderLayer(nn.Module):
    """BERT's layer: attention, feed-forward (GELU), layer norm after each sum."""

    def __init__(self, channels: int, heads: int, feed_forward: int, dropout: float, eps: float) -> None:
        super().__init__()
        self.attention = MultiHeadAttention(channels, heads, dropout)
        self.norm1 = nn.LayerNorm(channels, eps=eps)
        self.linear1 = nn.Linear(channels, feed_forward)
        self.linear2 = nn.Linear(feed_forward, channels)
        self.norm2 = nn.LayerNorm(channels, eps=eps)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, J, C) -> (B, J, C)."""
        tokens = self.norm1(tokens + self.dropout(self.attention(tokens, tokens)))
        inner = self.linear2(functional.gelu(self.linear1(tokens)))
        outer: Tensor = self.norm2(tokens + self.dropout(inner))
        return outer


class JointEncoder(nn.Module):
    """Intra-modal interaction: the joints' features look at each other."""

    def __init__(
        self,
        inputs: int,
        channels: int,
        layers: int,
        heads: int,
        feed_forward: int,
        dropout: float,
        eps: float = 1e-5,
    ) -> None:
        super().__init__()
        self.embedding = nn.Linear(inputs, channels)
        self.position = nn.Parameter(torch.empty(NUM_JOINTS, channels))
        self.layers = nn.ModuleList(EncoderLayer(channels, heads, feed_forward, dropout, eps) for _ in range(layers))
        self.dropout = nn.Dropout(dropout)
        nn.init.normal_(self.position, std=0.02)

    def encode(self, features: Tensor) -> Tensor:
        """(B, 21, inputs) -> tokens (B, 21, channels)."""
        tokens: Tensor = self.dropout(self.embedding(features) + self.position)
        for layer in self.layers:
            tokens = layer(tokens)
        return tokens


class JointTransformer(JointEncoder):
    """A joint encoder that gives a pose as well.

    pose = Linear(tokens) + Linear(input), the second a direct path past the transformer.
    """

    def __init__(
        self,
        inputs: int,
        channels: int,
        layers: int,
        heads: int,
        feed_forward: int,
        dropout: float,
        eps: float = 1e-5,
    ) -> None:
        super().__init__(inputs, channels, layers, heads, feed_forward, dropout, eps)
        self.pose = nn.Linear(channels, 3)
        self.residual = nn.Linear(inputs, 3)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 21, inputs) -> tokens (B, 21, channels), pose (B, 21, 3)."""
        tokens = self.encode(features)
        return tokens, self.pose(tokens) + self.residual(features)


class CrossAttention(nn.Module):
    """Inter-modal interaction: one decoder layer without self-attention; colour joints ask the depth joints.

    `count` tokens ask as many others (the dense baseline: pixels instead of joints).
    """

    def __init__(self, channels: int, heads: int, feed_forward: int, dropout: float, count: int = NUM_JOINTS) -> None:
        super().__init__()
        self.attention = MultiHeadAttention(channels, heads, dropout)
        self.query_position = nn.Parameter(torch.empty(count, channels))
        self.memory_position = nn.Parameter(torch.empty(count, channels))
        self.norm1 = nn.LayerNorm(channels)
        self.linear1 = nn.Linear(channels, feed_forward)
        self.linear2 = nn.Linear(feed_forward, channels)
        self.norm2 = nn.LayerNorm(channels)
        self.dropout = nn.Dropout(dropout)
        nn.init.normal_(self.query_position, std=0.02)
        nn.init.normal_(self.memory_position, std=0.02)

    def forward(self, query: Tensor, memory: Tensor) -> Tensor:
        """query (B, count, C), memory (B, count, C) -> (B, count, C)."""
        attended = self.attention(query + self.query_position, memory + self.memory_position)
        tokens = self.norm1(query + self.dropout(attended))
        inner = self.linear2(self.dropout(torch.relu(self.linear1(tokens))))
        outer: Tensor = self.norm2(tokens + self.dropout(inner))
        return outer
