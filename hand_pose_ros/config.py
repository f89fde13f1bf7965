"""What can be set: one set of frozen dataclasses from which ROS parameters, CLI options and YAML are derived.

How they are described, read, checked and changed: `options.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from hand_pose_ros.options import group, option


@dataclass(frozen=True)
class FinderConfig:
    """The hand finder, which looks at the whole image when a hand is not being followed."""

    model: str = option(
        "hand_finder",
        "Hand finder: a name from the zoo or a path to an .onnx file; mediapipe asks MediaPipe Hands; boxes looks only "
        "where it is told from outside.",
    )
    threshold: float = option(
        0.28, "Score from which a peak is taken for a hand.", minimum=0.0, maximum=1.0, dynamic=True
    )
    period: int = option(
        5,
        "Look for more hands every this many frames while some are followed; in every frame while none is.",
        minimum=1,
        maximum=1000,
        dynamic=True,
    )
    roi: str = option(
        "",
        'Look only in this part of the image: "x, y, width, height" in pixels, or in parts of the image where none is '
        "above 1; empty looks everywhere.",
        dynamic=True,
    )
    box_age: float = option(
        0.3,
        "Boxes from outside hold for frames whose stamps differ by at most this many seconds.",
        minimum=0.0,
        maximum=10.0,
        dynamic=True,
    )


@dataclass(frozen=True)
class TrackingConfig:
    """When a followed hand is kept, and when it counts as lost."""

    enabled: bool = option(True, "Crop at the last pose; false finds the hands anew in every frame.", dynamic=True)
    min_score: float = option(
        0.7,
        "Below this network score the hand is lost and looked for again.",
        minimum=0.0,
        maximum=1.0,
        dynamic=True,
    )
    min_trust: float = option(
        0.5,
        "Below this probability, from the finder's score, the network's, its deviations and the clearness of the side "
        "together, a newly found place is not taken for a hand (models with a .trust.json beside them).",
        minimum=0.0,
        maximum=1.0,
        dynamic=True,
    )
    whole_look_period: int = option(
        8,
        "The whole network of two hands looks at each window one frame in so many; in the others hands whose side is "
        "settled are followed by its looks alone (with depth, a .followed.onnx beside the model, and the engine "
        "onnxruntime). 1: at every frame.",
        minimum=1,
        maximum=1000,
        dynamic=True,
    )
    max_joint_std: float = option(
        0.05,
        "A joint with a larger standard deviation (m) is marked invalid.",
        minimum=0.001,
        maximum=1.0,
        dynamic=True,
    )
    max_gap: float = option(
        0.5,
        "Seconds without a frame after which nothing is followed any more.",
        minimum=0.01,
        maximum=10.0,
        dynamic=True,
    )
    max_center_jump: float = option(
        0.15,
        "Metres a hand may move between two frames before it must be found anew.",
        minimum=0.01,
        maximum=1.0,
        dynamic=True,
    )
    min_separation: float = option(
        0.05,
        "Two hands whose palm centres are closer than this (m) are one hand seen twice.",
        minimum=0.0,
        maximum=0.5,
        dynamic=True,
    )


@dataclass(frozen=True)
class SmoothingConfig:
    """One-Euro filter on the joints (Casiez, Roussel and Vogel, CHI 2012)."""

    enabled: bool = option(False, "Smooth the joints over time.", dynamic=True)
    min_cutoff: float = option(
        1.5,
        "Cut-off frequency (Hz) of a hand at rest: lower is smoother.",
        minimum=0.01,
        maximum=100.0,
        dynamic=True,
    )
    beta: float = option(
        10.0,
        "Rise of the cut-off with speed (Hz per m/s): higher lags less.",
        minimum=0.0,
        maximum=1000.0,
        dynamic=True,
    )
    derivative_cutoff: float = option(
        1.0, "Cut-off frequency (Hz) of the speed estimate.", minimum=0.01, maximum=100.0, dynamic=True
    )


@dataclass(frozen=True)
class LiftingConfig:
    """How models of colour alone (Keypoint Transformer, Handformer2T) become metric."""

    hand_length: float = option(
        0.185,
        "Length (m) of the hands from the wrist to the tip of the middle finger; without depth it sets the distance.",
        minimum=0.05,
        maximum=0.3,
        dynamic=True,
    )
    skin_depth: float = option(
        0.01,
        "How far (m) a joint lies under the skin that the depth camera sees; mean of the joints.",
        minimum=0.0,
        maximum=0.03,
        dynamic=True,
    )


@dataclass(frozen=True)
class ObjectConfig:
    """The object that the hands hold, for models that give its pose (Keypoint Transformer)."""

    name: str = option("", "Name of the object; empty gives no objects.")
    mesh: str = option("", "Its mesh, an .obj or .ply file in metres about the pose's origin; tells its size.")
    size_x: float = option(0.0, "Without a mesh: its size (m) along its x axis.", minimum=0.0, maximum=2.0)
    size_y: float = option(0.0, "Without a mesh: its size (m) along its y axis.", minimum=0.0, maximum=2.0)
    size_z: float = option(0.0, "Without a mesh: its size (m) along its z axis.", minimum=0.0, maximum=2.0)
    symmetry: str = option(
        "", "Turns after which it looks alike: z2 is half a turn about z, z2 x2 a box, z* round about z."
    )
    min_score: float = option(0.5, "Score from which the object is given.", minimum=0.0, maximum=1.0, dynamic=True)
    fit: bool = option(
        True,
        "With a depth image: the object's surface is laid onto it, and an object of which none is measured is not "
        "given. Off: the network's own pose, which knows neither its shape nor its size.",
    )


ENGINES: Final = (
    *("auto", "onnxruntime", "onnxruntime-cpu", "onnxruntime-cuda", "onnxruntime-tensorrt"),
    *("tensorrt", "torch"),
)


@dataclass(frozen=True)
class PipelineConfig:
    """From a frame to a scene: models, engine, limits."""

    model: str = option("kpt_fusion_lite", "Hand pose model: a name from the zoo or a path to an .onnx file.")
    engine: str = option(
        "auto",
        "Inference engine; auto takes the best one that runs here and logs it. onnxruntime takes CUDA where it was "
        "built with it; a name after the hyphen asks for that provider.",
        choices=ENGINES,
    )
    threads: int = option(0, "CPU threads for the engine; 0 takes half of the cores.", minimum=0, maximum=256)
    max_hands: int = option(2, "At most this many hands.", minimum=1, maximum=2, dynamic=True)
    one_person: bool = option(
        True, "At most one hand of each side: a second hand of an unclear side is the other one.", dynamic=True
    )
    sides: str = option(
        "both",
        "Which hands to look for; where one side is named, a hand of an unclear side is taken for it.",
        choices=("both", "left", "right"),
        dynamic=True,
    )
    cube_size: float = option(
        0.25,
        "Edge length (m) of the cube around the hand that the network sees.",
        minimum=0.1,
        maximum=0.6,
        dynamic=True,
    )
    min_depth: float = option(
        0.15, "Depth readings nearer than this (m) are ignored.", minimum=0.0, maximum=10.0, dynamic=True
    )
    max_depth: float = option(
        2.0, "Depth readings farther than this (m) are ignored.", minimum=0.1, maximum=20.0, dynamic=True
    )
    depth_fit: bool = option(
        True,
        "With a depth image: the hand model's surface is laid onto it about the network's joints, and gives joints and "
        "mesh (about 3 ms a hand). Off: the network's own joints.",
        dynamic=True,
    )
    mesh: bool = option(True, "Fit the hand model to the joints and give its mesh.", dynamic=True)
    mano_path: str = option(
        "", "Folder with your own MANO_RIGHT and MANO_LEFT files; empty uses the bundled licence-free hand."
    )
    finder: FinderConfig = group(FinderConfig)
    tracking: TrackingConfig = group(TrackingConfig)
    smoothing: SmoothingConfig = group(SmoothingConfig)
    lifting: LiftingConfig = group(LiftingConfig)
    object: ObjectConfig = group(ObjectConfig)


@dataclass(frozen=True)
class SyncConfig:
    """Pairing of colour, depth and camera_info by their stamps."""

    tolerance_ms: float = option(
        0.0,
        "Largest difference of stamps in a pair (ms); 0 wants equal stamps. Keep it below half a frame.",
        minimum=0.0,
        maximum=1000.0,
        dynamic=True,
    )
    capacity: int = option(8, "Unpaired images kept per stream.", minimum=1, maximum=100)


@dataclass(frozen=True)
class TopicConfig:
    """Input topics and transports."""

    color: str = option("/camera/camera/color/image_raw", "Colour image topic.")
    depth: str = option(
        "/camera/camera/aligned_depth_to_color/image_raw",
        "Depth image topic, aligned to colour; with depth_camera_info, of the depth camera itself.",
    )
    camera_info: str = option("/camera/camera/color/camera_info", "Camera info topic of the colour image.")
    depth_camera_info: str = option(
        "",
        "Camera info topic of the depth image, for depth that is not aligned to colour: it is aligned here, by the "
        "transform between the two frames on /tf_static. Empty: depth is aligned.",
    )
    rectified: str = option(
        "auto",
        "Whether images are rectified already, so that camera_info's P is theirs and not K and D; auto: where the "
        "topic's name says image_rect.",
        choices=("auto", "yes", "no"),
    )
    hand_boxes: str = option(
        "",
        "Topic with boxes of hands from another detector (vision_msgs/Detection2DArray, in pixels of the colour "
        "image); empty for none. All its detections count; left or right in a class name tells the side.",
    )
    color_transport: str = option(
        "raw", "raw subscribes to the topic, compressed to its /compressed companion.", choices=("raw", "compressed")
    )
    depth_transport: str = option(
        "raw",
        "raw subscribes to the topic, compressedDepth to its /compressedDepth companion.",
        choices=("raw", "compressedDepth"),
    )
    reliability: str = option(
        "auto",
        "How images are subscribed to; auto asks for what the publishers offer (best effort loses large images).",
        choices=("auto", "reliable", "best_effort"),
    )
    use_color: bool = option(True, "Use the colour image; false works on depth alone.")
    use_depth: bool = option(True, "Use the depth image.")
    depth_patience: float = option(
        0.5,
        "Models that work on colour alone go on without depth once no depth image came for so many seconds; 0 waits.",
        minimum=0.0,
        maximum=60.0,
        dynamic=True,
    )


@dataclass(frozen=True)
class CameraConfig:
    """A RealSense that the node reads itself, in place of image topics."""

    source: str = option(
        "topics",
        "Where images come from: topics, or pyrealsense2, which reads a RealSense in this process (no DDS copy).",
        choices=("topics", "pyrealsense2"),
    )
    name: str = option("camera", "pyrealsense2: its frames are <name>_link and <name>_color_optical_frame.")
    serial: str = option("", "pyrealsense2: serial number of the camera; empty takes the first.")
    width: int = option(640, "pyrealsense2: width of its images (pixels).", minimum=16, maximum=8192)
    height: int = option(480, "pyrealsense2: height of its images (pixels).", minimum=16, maximum=8192)
    rate: int = option(30, "pyrealsense2: images per second.", minimum=1, maximum=300)
    publish: bool = option(
        True,
        "pyrealsense2: publish its images and camera_info on topics.color, topics.depth and topics.camera_info for "
        "whoever subscribes, and its frames on /tf_static.",
    )


@dataclass(frozen=True)
class PublishConfig:
    """What is published beside `~/hands`."""

    meshes: bool = option(True, "Publish ~/meshes.", dynamic=True)
    tf: bool = option(True, "Publish a TF frame per wrist and per object.", dynamic=True)
    tf_joints: bool = option(False, "Publish a TF frame per joint as well.", dynamic=True)
    tf_prefix: str = option("", "Put before every TF frame name.", dynamic=True)
    target_frame: str = option("", "Express results in this frame (looked up with tf2); empty keeps the camera's.")
    uncertainty: bool = option(
        True, "Draw a sphere of one standard deviation around each joint in ~/markers.", dynamic=True
    )
    detections: str = option(
        "auto",
        "Objects as vision_msgs/Detection3DArray on ~/detections; auto where vision_msgs is installed.",
        choices=("auto", "always", "never"),
    )
    inside: str = option(
        "right_index_tip",
        "Keypoint Transformer: the joint whose attention ~/inside shows, right_ or left_ and its name.",
        dynamic=True,
    )
    snapshot_folder: str = option("~/.ros/hand_pose", "Where ~/snapshot writes recordings.", dynamic=True)
    diagnostics_period: float = option(1.0, "Seconds between diagnostics.", minimum=0.1, maximum=60.0, dynamic=True)


@dataclass(frozen=True)
class NodeConfig:
    """Everything the ROS node can be told; flattened, these are its parameters."""

    autostart: bool = option(True, "Configure and activate the lifecycle node at start.")
    build_only: bool = option(
        False, "Load the models, which builds and stores what their engines need (TensorRT: minutes), then end."
    )
    pipeline: PipelineConfig = group(PipelineConfig)
    sync: SyncConfig = group(SyncConfig)
    topics: TopicConfig = group(TopicConfig)
    camera: CameraConfig = group(CameraConfig)
    publish: PublishConfig = group(PublishConfig)
