"""The authors' variant computes what the published code computes: golden tensors, weights by rule."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from keypoint_transformer_golden import GOLDEN, golden_network  # noqa: E402

from hand_pose_ros.networks.keypoint_transformer import KeypointTransformer  # noqa: E402
from hand_pose_ros.networks.keypoint_transformer.decode import joints_from_vectors  # noqa: E402
from hand_pose_ros.networks.keypoint_transformer.peaks import HAND, OBJECT, PAD, Keypoints, greedy_keypoints  # noqa: E402

Arrays = dict[str, Any]
# Their type code of a slot.
CODES = {PAD: 0, HAND: 1, OBJECT: 43}


def _slots_first(tokens: Any) -> Any:
    return tokens.transpose(0, 1)


class Watch:
    """Arrays of the golden file that are not outputs: hooks on the modules that compute them."""

    def __init__(self, network: KeypointTransformer) -> None:
        self.seen: Arrays = {}
        self.handles = [
            network.hand_token.register_forward_hook(self._mlp("linear1")),
            network.self_attention.register_forward_hook(self._memory),
            network.self_attention.layers[0].register_forward_hook(self._layer(0)),
            network.self_attention.layers[5].register_forward_hook(self._layer(5)),
            network.cross_attention.register_forward_hook(self._cross),
            network.decoder.register_forward_hook(self._decoder),
        ]
        if network.object_token is not None:
            self.handles.append(network.object_token.register_forward_hook(self._mlp("linear1_obj")))

    def _mlp(self, name: str) -> Callable[..., None]:
        def keep(module: Any, given: Any, result: Any) -> None:
            self.seen[f"{name}.in"], self.seen[f"{name}.out"] = given[0], result

        return keep

    def _layer(self, number: int) -> Callable[..., None]:
        def keep(module: Any, given: Any, result: Any) -> None:
            self.seen[f"encoder.layer{number}.out"] = _slots_first(result)

        return keep

    def _memory(self, module: Any, given: Any, result: Any) -> None:
        tokens = given[0].transpose(1, 2)
        self.seen["transformer.in.src"], self.seen["seq.positions"] = tokens, tokens[:, -32:]
        self.seen["transformer.encoder_normed"] = _slots_first(result[1][-1])

    def _cross(self, module: Any, given: Any, result: Any) -> None:
        self.seen["transformer.in.tgt_mask"] = given[2][0]
        self.seen["transformer.in.mask"] = given[3][:, 0]
        self.seen["transformer.in.memory_mask"] = given[3]
        self.seen["transformer.hs"] = result[0].transpose(1, 2)

    def _decoder(self, module: Any, given: Any, result: Any) -> None:
        self.seen["decoder.out"] = result.maps
        self.seen["pyramid.stride32"], self.seen["pyramid.stride16"] = result.features[4], result.features[3]


def _collect(network: KeypointTransformer, image: Any, imposed: Any | None) -> Arrays:
    watch = Watch(network)
    with torch.no_grad():
        keypoints: Keypoints | None = None
        if imposed is not None:
            config = network.config
            keypoints = greedy_keypoints(imposed, config.hand_slots, config.object_slots, config.peaks)
            watch.seen["imposed"] = imposed
        output = network(image, keypoints)
    for handle in watch.handles:
        handle.remove()
    found = watch.seen

    def queries_first(head: Any) -> Any:
        return head.flatten(2, 3).transpose(1, 2)

    codes = torch.tensor([CODES[code] for code in (PAD, HAND, OBJECT)])
    found["seq.kp_heatmap_xy"] = output.keypoints.xy
    found["seq.peak_joints_map"] = codes[output.keypoints.kind]
    found["linear_class.out"] = output.identity_logits.transpose(1, 2)
    found["decoder.layer0.attn"] = output.attention
    found["linear_bottleneck_hand_type.out"] = output.hand_type_logits
    found["out.rel_trans_out"] = output.hand_translation[-1]
    found["linear_rel_trans.out"] = output.hand_translation
    found["linear_cam.out"] = output.camera
    if output.joint_vectors is not None:
        found["linear_joint_vecs.out"] = queries_first(output.joint_vectors)
        joints = joints_from_vectors(output.joint_vectors)
        found["out.joint_3d_right_out"], found["out.joint_3d_left_out"] = joints[..., :20, :].unbind(2)
    if output.bins is not None:
        for axis, name in enumerate(("px", "py", "dep")):
            found[f"linear_joint_2p5d_{name}.out"] = queries_first(output.bins[:, :, axis])
    if output.object_rotation is not None:
        found["linear_obj_rot.out"] = output.object_rotation
        found["linear_obj_rel_trans.out"] = output.object_translation
        found["linear_obj_left_rel_trans.out"] = output.object_left_translation
        found["linear_obj_corner_proj.out"] = output.object_corners.flatten(2)
        found["out.obj_rot_out"], found["out.obj_trans_out"] = output.object_rotation[-1], output.object_translation[-1]
    return found


@pytest.fixture(scope="module", params=list(GOLDEN))
def run(request: pytest.FixtureRequest, golden_dir: Path) -> tuple[Arrays, Arrays]:
    """Golden and computed arrays, of both runs: A with the network's own heat map, B with an imposed one."""
    network = golden_network(golden_dir, request.param)
    with np.load(golden_dir / f"{request.param}.npz") as stored:
        golden = {name: torch.from_numpy(stored[name]) for name in stored.files}
    computed: Arrays = {}
    for case in "AB":
        imposed = golden.get(f"{case}.fixed_decoder_out")
        found = _collect(network, golden[f"{case}.inputs.img"], imposed)
        computed.update({f"{case}.{name}": value for name, value in found.items()})
    return golden, computed


def _counterpart(name: str, expected: Any, computed: Arrays) -> Any:
    """What we computed for a golden array; masks are put as the golden file has them."""
    case, short = name.split(".", 1)
    if short == "seq.mask_np":
        return ~computed[f"{case}.transformer.in.mask"]
    if short == "transformer.in.memory_mask":
        # Theirs is without the slots not used, which stand in their padding mask.
        unused = computed[f"{case}.transformer.in.mask"][:, None]
        blocked = torch.zeros_like(expected)
        rotation = expected.shape[1] - 2
        some = (computed[f"{case}.seq.peak_joints_map"] == 43).any(dim=1)
        not_object = computed[f"{case}.seq.peak_joints_map"] != 43
        blocked[:, rotation] = not_object & some[:, None]
        assert (computed[name] == (blocked | unused)).all()
        return blocked
    if short == "decoder.out" and f"{case}.imposed" in computed:
        return computed[f"{case}.imposed"]
    return computed[name]


def _is_output(name: str) -> bool:
    return ".inputs." not in name and ".meta." not in name and "fixed_decoder_out" not in name


def test_golden(run: tuple[Arrays, Arrays]) -> None:
    golden, computed = run
    names = [name for name in golden if _is_output(name)]
    assert len(names) > 40
    wrong = {}
    for name in names:
        expected, got = golden[name].double(), _counterpart(name, golden[name], computed).double()
        assert got.shape == expected.shape, name
        error = float((got - expected).abs().max() / expected.abs().max().clamp(min=1e-9))
        if error > 1e-4:
            wrong[name] = error
    assert not wrong
