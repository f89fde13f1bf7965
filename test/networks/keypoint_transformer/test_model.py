"""The default network: what must not matter does not, what is configured is there."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from keypoint_transformer_toys import with_peaks  # noqa: E402

from hand_pose_ros.networks.handformer2t.maps import MapPrediction  # noqa: E402
from hand_pose_ros.networks.keypoint_transformer import (  # noqa: E402
    Keypoints,
    KeypointTransformer,
    KeypointTransformerConfig,
    published,
)
from hand_pose_ros.networks.keypoint_transformer.decode import decode, drawn_to_keypoints  # noqa: E402
from hand_pose_ros.networks.keypoint_transformer.peaks import HAND, OBJECT  # noqa: E402


@pytest.fixture(scope="module")
def network() -> KeypointTransformer:
    torch.manual_seed(0)
    return with_peaks(KeypointTransformer(KeypointTransformerConfig(objects=True)).eval())


@pytest.fixture(scope="module")
def image() -> Any:
    return torch.rand(2, 3, 256, 256, generator=torch.Generator().manual_seed(1))


def _heads(output: Any) -> list[Any]:
    return [output.joint_vectors, output.hand_translation, output.object_rotation, output.object_translation]


@torch.no_grad()
def test_order_of_keypoints_does_not_matter(network: KeypointTransformer, image: Any) -> None:
    seen = network.see(image)
    output = network(image)
    order = torch.randperm(68, generator=torch.Generator().manual_seed(0))
    shuffled = Keypoints(*(field[:, order] for field in output.keypoints))
    again = network.understand(seen, shuffled)
    for one, other in zip(_heads(output), _heads(again), strict=True):
        assert torch.allclose(one, other, atol=1e-5)
    assert torch.allclose(output.identity_logits[:, :, order], again.identity_logits, atol=1e-5)


@torch.no_grad()
def test_unused_slots_do_not_matter(network: KeypointTransformer, image: Any) -> None:
    seen, keypoints = network.see(image), network(image).keypoints
    valid = keypoints.valid & (torch.arange(68) % 3 == 0)
    given = keypoints._replace(valid=valid, kind=keypoints.kind * valid)
    moved = given._replace(xy=torch.where(valid[..., None], given.xy, torch.full_like(given.xy, 77.0)))
    assert valid.any()
    for one, other in zip(
        _heads(network.understand(seen, given)), _heads(network.understand(seen, moved)), strict=True
    ):
        assert torch.allclose(one, other, atol=1e-6)


@torch.no_grad()
def test_rotation_query_sees_the_object_only(network: KeypointTransformer, image: Any) -> None:
    output = network(image)
    rotation, translation = network.layout.rotation, network.layout.translation
    hands = output.keypoints.kind == HAND
    objects = output.keypoints.kind == OBJECT
    assert hands.any(dim=1).all() and objects.any(dim=1).all()
    assert (output.attention[:, rotation][hands] == 0).all()
    assert (output.attention[:, rotation][objects] > 0).all()
    assert (output.attention[:, translation][hands] > 0).all()
    assert torch.allclose(output.attention.sum(dim=2), torch.ones(2, network.layout.count))


@torch.no_grad()
def test_no_keypoint_is_no_hand(network: KeypointTransformer, image: Any) -> None:
    """Finite answers and presence 0; the other sample of the batch is as it was."""
    seen, keypoints = network.see(image), network(image).keypoints
    nothing = torch.tensor([False, True])[:, None]
    given = keypoints._replace(valid=keypoints.valid & nothing, kind=keypoints.kind * nothing)
    scene, before = decode(network.understand(seen, given)), decode(network.understand(seen, keypoints))
    assert (scene.presence[0] == 0).all() and (scene.presence[1] > 0).all()
    for name, value in scene._asdict().items():
        if value is not None:
            assert torch.isfinite(value).all(), name
            assert torch.allclose(value[1], getattr(before, name)[1], atol=1e-5), name


@pytest.mark.parametrize("representation", ["3d", "2p5d", "angles"])
@pytest.mark.parametrize("self_layers", [0, 3])
@pytest.mark.parametrize("objects", [False, True])
def test_shapes(representation: Any, self_layers: int, objects: bool, image: Any) -> None:
    config = KeypointTransformerConfig(
        representation=representation, self_layers=self_layers, cross_layers=2, objects=objects, left_object=objects
    )
    network = KeypointTransformer(config).eval()
    with torch.no_grad():
        output = network(image[:1])
        scene = decode(output)
    slots = 68 if objects else 64
    assert output.identity_logits.shape == (max(self_layers, 1), 1, slots, 44 if objects else 43)
    assert output.hand_translation.shape == (2, 1, 3)
    assert output.maps.shape == (1, 2 if objects else 1, 128, 128)
    shapes = {
        "joints": (1, 2, 21, 3) if representation == "3d" else None,
        "uv": (1, 2, 21, 2) if representation != "angles" else None,
        "depth": (1, 2, 21) if representation != "angles" else None,
        "pose": (1, 2, 16, 3) if representation == "angles" else None,
        "shape": (1, 10) if representation == "angles" else None,
        "camera": (1, 3) if representation != "2p5d" else None,
        "object_rotation": (1, 3, 3) if objects else None,
        "object_presence": (1,) if objects else None,
        "presence": (1, 2),
        "keypoint_uv": (1, slots, 2),
    }
    for name, expected in shapes.items():
        value = getattr(scene, name)
        assert (None if value is None else tuple(value.shape)) == expected, name


def test_depth_is_seen_and_may_be_missing(image: Any) -> None:
    torch.manual_seed(0)
    network = KeypointTransformer(KeypointTransformerConfig(crop=64, self_layers=0, depth=True)).eval()
    image = image[:, :, :64, :64]
    relief = torch.rand(2, 2, 64, 64)
    with torch.no_grad():
        seen, without = network.see(image, relief), network.see(image)
        nothing = network.see(image, torch.zeros(2, 2, 64, 64))
    assert network.backbone.conv1.weight.shape[1] == 5
    assert not torch.allclose(seen.features[2], without.features[2])
    assert torch.equal(without.features[2], nothing.features[2])


def _maps(cells: int, first: tuple[int, int], second: tuple[int, int]) -> MapPrediction:
    """All joints of the hands by place at one cell each."""
    logits = torch.zeros(1, 2, 21, cells, cells)
    for place, (x, y) in enumerate((first, second)):
        logits[0, place, :, y, x] = 20.0
    poses = torch.zeros(1, 2, 21, 3)
    for place, (x, y) in enumerate((first, second)):
        poses[0, place, :, :2] = (torch.tensor([x, y]) + 0.5) / cells - 0.5
    # As of right hands that show their palm: the index's base, then the little finger's, about the wrist.
    poses[0, :, 5, :2] += torch.tensor([0.1, 0.0])
    poses[0, :, 17, :2] += torch.tensor([0.0, 0.1])
    flat = logits.flatten(3)
    return MapPrediction(poses, flat, torch.zeros(1, 2), torch.zeros_like(flat), torch.zeros(1, 21, flat.shape[3]))


@pytest.mark.parametrize(("facing", "side"), [((1.0, -1.0), 0), ((-1.0, 1.0), 1)])
def test_maps_by_place_tell_keypoints_apart(facing: tuple[float, float], side: int) -> None:
    """The joints of the hand farther left are a right hand's where its facing says so, and those of the other a left
    one's; nothing is told of where no joint is."""
    torch.manual_seed(0)
    config = KeypointTransformerConfig(crop=64, placed=True)
    network = KeypointTransformer(config).eval()
    assert network.placed is not None
    torch.nn.init.zeros_(network.placed.counter.linear_layers[-1].weight)
    with torch.no_grad():
        network.placed.counter.linear_layers[-1].bias.copy_(torch.tensor([0.0, 20.0]))  # two hands
        found = _maps(16, (3, 8), (12, 8))._replace(facing=torch.tensor([facing]))
        features = network.see(torch.rand(1, 3, 64, 64)).features
        # Middles of these cells, and a third place, in pixels of the heat map.
        told = network.placed(found, features, torch.tensor([[[6.5, 16.5], [24.5, 16.5], [2.0, 2.0]]]))
    assert (told.side_logits > 0).tolist() == [side == 0] and (told.pair_logits > 0).all()
    right, left = told.identity[0, :, 1:22].mean(dim=1), told.identity[0, :, 22:43].mean(dim=1)
    first, second = (right, left) if side == 0 else (left, right)
    assert first[0] > 3 and first[1] < 0.5 and second[1] > 3 and second[0] < 0.5
    assert (told.identity[0, 2].abs() < 1e-3).all() and (told.identity[..., 0] == 0).all()
    assert told.queries.shape == (1, network.layout.count, 128)


@torch.no_grad()
def test_answers_of_maps_by_place(image: Any) -> None:
    """Places are the maps', dealt to right and left; presence says which hand there is only if keypoints are found."""
    torch.manual_seed(0)
    network = KeypointTransformer(KeypointTransformerConfig(crop=64, self_layers=0, placed=True)).eval()
    output = network(image[:, :, :64, :64])
    none = output._replace(keypoints=output.keypoints._replace(score=torch.zeros_like(output.keypoints.score)))
    assert output.places is not None and torch.allclose(decode(none).uv, 2 * output.places + 0.5, atol=1e-4)
    # A left hand alone; two hands.
    told = output._replace(side_logits=torch.tensor([-9.0, 9.0]), pair_logits=torch.tensor([-9.0, 9.0]))
    found = told.keypoints._replace(valid=torch.ones_like(told.keypoints.valid))
    presence = decode(told._replace(keypoints=found)).presence
    assert presence[0, 1] > 10 * presence[0, 0] and torch.allclose(presence[1, 0], presence[1, 1], rtol=1e-3)
    empty = found._replace(valid=torch.zeros_like(found.valid))
    assert (decode(told._replace(keypoints=empty)).presence == 0).all()


def test_places_are_drawn_to_the_keypoints_that_may_be_the_joint() -> None:
    network = KeypointTransformer(KeypointTransformerConfig(crop=64, self_layers=0, placed=True)).eval()
    with torch.no_grad():
        result = decode(network(torch.rand(1, 3, 64, 64)))
    slots = result.identity.shape[1]
    identity, score = torch.zeros(1, slots, 43), torch.zeros(1, slots)
    places = torch.full((1, 2, 21, 2), 20.0)
    keypoints = torch.zeros(1, slots, 2)
    keypoints[0, 0], keypoints[0, 1] = torch.tensor([24.0, 20.0]), torch.tensor([60.0, 60.0])
    # The left index's tip is the near keypoint for sure, the thumb's the far one; a third is an unused slot.
    identity[0, 0, 22 + 8] = identity[0, 1, 22 + 4] = identity[0, 2, 22 + 12] = 1.0
    score[0, :2] = 1.0
    given = result._replace(identity=identity, keypoint_score=score, keypoint_uv=keypoints)
    uv = drawn_to_keypoints(places, given, 64.0)
    assert 23.5 < uv[0, 1, 8, 0] < 24 and uv[0, 1, 8, 1] == 20
    still = torch.ones(2, 21, dtype=torch.bool)
    still[1, 8] = False
    assert torch.allclose(uv[0][still], torch.tensor(20.0), atol=0.1)


def test_maps_by_place_and_their_answers_learn(image: Any) -> None:
    network = with_peaks(KeypointTransformer(KeypointTransformerConfig(placed=True, objects=True)))
    output = network(image)
    values = [value for value in output if isinstance(value, torch.Tensor)]
    sum(value.square().mean() for value in values).backward()
    assert network.placed is not None and network.maps is not None
    assert all(p.grad is not None and p.grad.any() for p in network.placed.parameters())
    # Which hand is a right one teaches what the maps say of palms; the rest have their own losses.
    weight = network.maps.maps.output.weight.grad
    assert weight is not None and weight[84:].any() and not weight[42:84].any()


def test_everything_learns(image: Any) -> None:
    """No parameter of the default network is without use, whatever the representation."""
    for representation in ("3d", "2p5d", "angles"):
        config = KeypointTransformerConfig(
            representation=representation, objects=True, left_object=True, self_layers=2, cross_layers=2
        )
        network = with_peaks(KeypointTransformer(config))
        output = network(image)
        assert (output.keypoints.kind == OBJECT).any()
        values = [value for value in output if isinstance(value, torch.Tensor)]
        sum(value.square().mean() for value in values).backward()
        idle = {name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()}
        # The first layer's target is zero, so what the queries tell each other there is one constant.
        first = ("cross_attention.layers.0.self_attn.", "cross_attention.layers.0.norm1.")
        assert all(name.startswith(first) for name in idle), idle


def test_lite_is_small() -> None:
    network = KeypointTransformer(KeypointTransformerConfig(objects=True, self_layers=3))
    assert sum(parameter.numel() for parameter in network.parameters()) * 4 < 12e6


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": "r18", "decoder": "big"}, "expected one of .*'r50 with big'.*got 'r18' with 'big'"),
        ({"size": "r101"}, "got 'r101' with 'small'"),
        ({"representation": "mesh"}, "representation: expected"),
        ({"variant": "paper"}, "variant: expected"),
        ({"variant": "authors"}, "'lite' is not the authors'"),
        ({"cross_layers": 0}, "cross_layers >= 1"),
        ({"self_layers": -1}, "self_layers >= 0"),
        ({"left_object": True}, "left_object needs objects"),
        ({"size": "r50", "variant": "authors", "depth": True}, "depth and placed are ours"),
        ({"placed": True, "representation": "2p5d"}, "placed needs representation '3d'"),
        ({"placed": True, "size": "r18"}, "placed needs .* a residual decoder"),
    ],
)
def test_wrong_configurations(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(KeypointTransformerConfig(), **changes)


def test_unknown_published_network() -> None:
    with pytest.raises(ValueError, match=r"expected one of .*'h2o3d', 'ho3d', 'interhand', 'interhand_mano'"):
        published("dexycb")
