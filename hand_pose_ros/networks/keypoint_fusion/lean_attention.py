"""The stages' transformers as engines run them: tokens lie as rows of one matrix, so that a layer is one product."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from hand_pose_ros.networks.keypoint_fusion.attention import (
    CrossAttention,
    EncoderLayer,
    JointTransformer,
    MultiHeadAttention,
)
from hand_pose_ros.skeleton import NUM_JOINTS


def joined(*layers: nn.Linear) -> nn.Linear:
    """Layers that read the same rows as one layer with their outputs side by side."""
    return linear(torch.cat([layer.weight for layer in layers]), torch.cat([layer.bias for layer in layers]))


def linear(weight: Tensor, bias: Tensor) -> nn.Linear:
    """A layer of this weight (outputs, inputs) and bias (outputs,)."""
    layer = nn.Linear(weight.shape[1], weight.shape[0])
    layer.weight, layer.bias = nn.Parameter(weight.detach().clone()), nn.Parameter(bias.detach().clone())
    return layer


class PlacedLinear(nn.Module):
    """A layer whose bias is each joint's own: what is added to its inputs or outputs by a table (21, ·)."""

    table: Tensor
    weight: Tensor

    def __init__(self, weight: Tensor, table: Tensor, batch: int) -> None:
        super().__init__()
        self.register_buffer("weight", weight.detach().t().contiguous())
        self.register_buffer("table", table.detach().repeat(batch, 1))

    def forward(self, rows: Tensor) -> Tensor:
        """(B * 21, inputs) -> (B * 21, outputs)."""
        return torch.addmm(self.table, rows, self.weight)


class LeanEncoderLayer(nn.Module):
    """`EncoderLayer` of rows, with one product for query, key and value."""

    def __init__(self, layer: EncoderLayer, batch: int) -> None:
        super().__init__()
        self.shape = (batch, NUM_JOINTS, 3 * layer.attention.heads, layer.attention.width)
        attention = layer.attention
        self.inputs = joined(_scaled(attention), attention.key, attention.value)
        self.out, self.norm1, self.norm2 = attention.out, layer.norm1, layer.norm2
        self.linear1, self.linear2 = layer.linear1, layer.linear2

    def forward(self, rows: Tensor) -> Tensor:
        """(B * 21, C) -> (B * 21, C)."""
        heads = self.shape[2] // 3
        parts = torch.split(self.inputs(rows).reshape(self.shape).transpose(1, 2), [heads] * 3, dim=1)
        rows = self.norm1(rows + self.out(attend(*parts)))
        outer: Tensor = self.norm2(rows + self.linear2(functional.gelu(self.linear1(rows))))
        return outer


class LeanTransformer(nn.Module):
    """`JointTransformer` of rows; both paths to the pose are one product."""

    def __init__(self, head: JointTransformer, batch: int) -> None:
        super().__init__()
        self.embedding = PlacedLinear(head.embedding.weight, head.embedding.bias + head.position, batch)
        layers = [layer for layer in head.layers if isinstance(layer, EncoderLayer)]
        self.layers = nn.ModuleList(LeanEncoderLayer(layer, batch) for layer in layers)
        weight = torch.cat((head.pose.weight, head.residual.weight), dim=1)
        self.pose = linear(weight, head.pose.bias + head.residual.bias)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """(B * 21, inputs) -> tokens (B * 21, C), pose (B * 21, 3)."""
        tokens: Tensor = self.embedding(features)
        for layer in self.layers:
            tokens = layer(tokens)
        return tokens, self.pose(torch.cat((tokens, features), dim=1))


class LeanCrossAttention(nn.Module):
    """`CrossAttention` of rows; the places of queries and memory are part of the layers' biases."""

    def __init__(self, cross: CrossAttention, batch: int) -> None:
        super().__init__()
        attention = cross.attention
        self.shape = (batch, NUM_JOINTS, attention.heads, attention.width)
        ask, tell = _scaled(attention), joined(attention.key, attention.value)
        self.ask = PlacedLinear(ask.weight, ask(cross.query_position), batch)
        self.tell = PlacedLinear(tell.weight, tell(cross.memory_position), batch)
        self.out, self.norm1, self.norm2 = attention.out, cross.norm1, cross.norm2
        self.linear1, self.linear2 = cross.linear1, cross.linear2

    def forward(self, query: Tensor, memory: Tensor) -> Tensor:
        """query, memory (B * 21, C) -> (B * 21, C)."""
        batch, joints, heads, width = self.shape
        asked = self.ask(query).reshape(self.shape).transpose(1, 2)
        told = self.tell(memory).reshape(batch, joints, 2 * heads, width).transpose(1, 2)
        rows = self.norm1(query + self.out(attend(asked, *torch.split(told, [heads] * 2, dim=1))))
        outer: Tensor = self.norm2(rows + self.linear2(torch.relu(self.linear1(rows))))
        return outer


def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """(B, heads, 21, width) each, the query scaled already -> rows (B * 21, heads * width)."""
    pooled = torch.softmax(query @ key.transpose(2, 3), dim=3) @ value
    return pooled.transpose(1, 2).reshape(-1, query.shape[1] * query.shape[3])


def _scaled(attention: MultiHeadAttention) -> nn.Linear:
    """The query's layer with the scale of the products in it."""
    scale = 1 / math.sqrt(attention.width)
    return linear(attention.query.weight * scale, attention.query.bias * scale)
