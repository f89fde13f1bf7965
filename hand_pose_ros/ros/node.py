"""The live node: images in, hands out. Wiring only; the work is in `Pipeline`, `Inputs`, `Outputs` and the builders.

Threads: the executor's thread stores images, answers services and reports; one worker thread decodes, infers and
publishes. Lifecycle: configure loads the models, activate subscribes, deactivate unsubscribes, cleanup frees them.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType, JumpThreshold, TimeJump
from rclpy.duration import Duration
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter

from hand_pose_ros.config import NodeConfig
from hand_pose_ros.engines.base import EngineError
from hand_pose_ros.engines.progress import Listener, listening
from hand_pose_ros.options import ConfigError, flatten
from hand_pose_ros.pipeline.hand_models import load_hand_models
from hand_pose_ros.pipeline.outside import HandBox
from hand_pose_ros.pipeline.pipeline import Pipeline
from hand_pose_ros.ros.boxes import BoxInput
from hand_pose_ros.ros.camera import CameraFrame, CameraInput
from hand_pose_ros.ros.checks import check_images, check_values
from hand_pose_ros.ros.diagnostics import Monitor, Once
from hand_pose_ros.ros.ending import until_shutdown
from hand_pose_ros.ros.inputs import Inputs
from hand_pose_ros.ros.outputs import Outputs
from hand_pose_ros.ros.parameters import changed_config, declare_config
from hand_pose_ros.ros.received import ReceivedFrame
from hand_pose_ros.ros.reporter import Reporter, what_runs
from hand_pose_ros.ros.services import offer_services
from hand_pose_ros.ros.static_frames import NoTransform
from hand_pose_ros.ros.target_frame import TargetFrame
from hand_pose_ros.ros.worker import NewestWorker
from hand_pose_ros.sources.errors import DecodeError, SourceError
from hand_pose_ros.sources.frames import FrameMaker
from hand_pose_ros.types import Frame, InvalidData, Scene

NODE_NAME: Final = "hand_pose"
REPLACED: Final = "newer_frame"  # a newer frame came while this one waited for the worker
INVALID: Final = "invalid_input"
INVALID_BOXES: Final = "invalid_boxes"
INVALID_CONFIG: Final = "invalid_parameters"
NO_TRANSFORM: Final = "no_transform"
# Between two looks at what the images' publishers offer, and at whether results still come (s).
_ADAPT_PERIOD: Final = 0.5
_LOOK_PERIOD: Final = 0.1


class StartError(RuntimeError):
    """The node could not be configured or activated; the reason has been logged."""


class HandPoseNode(LifecycleNode):  # type: ignore[misc]  # rclpy carries no types
    """RGB-D images to hands.

    Args:
        arguments: of `rclpy.lifecycle.LifecycleNode` (parameter_overrides, namespace, context, …).

    Raises:
        ConfigError: unknown parameters, or values that cannot be used.
    """

    def __init__(self, **arguments: Any) -> None:
        super().__init__(arguments.pop("node_name", NODE_NAME), **arguments)
        self.config = declare_config(self, NodeConfig)
        self.monitor = Monitor(time.monotonic())
        self.failure: BaseException | None = None
        self._complain = Once(lambda text: self.log_error(f"{text} (said once; /diagnostics counts)"))
        self._seen: tuple[Frame, Scene] | None = None
        self._pipeline: Pipeline | None = None
        self._inputs: Inputs | CameraInput | None = None
        self._boxes: BoxInput | None = None
        self._outputs: Outputs | None = None
        self._target: TargetFrame | None = None
        self._worker: NewestWorker[ReceivedFrame | CameraFrame] = NewestWorker(
            self._process, lambda: self.monitor.dropped(REPLACED), self._failed
        )
        self._make_frame = FrameMaker()
        self._changes: list[Callable[[Pipeline], None]] = []
        self._reporter = Reporter(self, self.monitor)
        steady = Clock(clock_type=ClockType.STEADY_TIME)  # simulated time may stand still
        self._timer = self.create_timer(self.config.publish.diagnostics_period, self._report, clock=steady)
        self._adapt_timer = self.create_timer(_ADAPT_PERIOD, self._adapt, clock=steady)
        self._look_timer = self.create_timer(_LOOK_PERIOD, self._look, clock=steady)
        offer_services(self, self._forget, self._switch, self._snapshot)
        self.add_on_set_parameters_callback(self._on_set_parameters)
        threshold = JumpThreshold(min_forward=None, min_backward=Duration(nanoseconds=-1), on_clock_change=True)
        self._jump = self.get_clock().create_jump_callback(threshold, post_callback=self._on_jump)

    def log_error(self, text: str) -> None:
        """Say what the user can mend."""
        self.get_logger().error(text)

    def waiting(self) -> int:
        """Images and frames that wait for something; bounded, whatever the input does."""
        return self._worker.waiting + (self._inputs.waiting if self._inputs is not None else 0)

    def start(self) -> None:
        """Configure and activate.

        Raises:
            StartError: either did not succeed.
        """
        for name, trigger in (("configure", self.trigger_configure), ("activate", self.trigger_activate)):
            if trigger() != TransitionCallbackReturn.SUCCESS:
                raise StartError(f"{name} failed; see the log above")

    def build(self) -> None:
        """Load the models once, so that engines which are built on the machine are in their store.

        Raises:
            StartError: it did not succeed.
        """
        if self.trigger_configure() != TransitionCallbackReturn.SUCCESS:
            raise StartError("configure failed; see the log above")
        self.get_logger().info("the models load; build_only ends the node")

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the models and create the publishers."""
        result = self._attempt("configure", self._configure)
        if result != TransitionCallbackReturn.SUCCESS:
            self._free()
            return result
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe and start the worker."""
        if (result := super().on_activate(state)) != TransitionCallbackReturn.SUCCESS:
            return result
        result = self._attempt("activate", self._activate)
        if result != TransitionCallbackReturn.SUCCESS:
            self._stop()
            super().on_deactivate(state)
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Unsubscribe and forget the followed hands; the models stay loaded."""
        self._stop()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free the models and take the topics back."""
        self._free()
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """From any state."""
        self._stop()
        self._free()
        return super().on_shutdown(state)

    def destroy_node(self) -> None:
        """Stop the worker before the publishers go."""
        self._stop()
        self._jump.unregister()
        super().destroy_node()

    def _attempt(self, name: str, action: Callable[[], None]) -> TransitionCallbackReturn:
        """Run one transition; rclpy turns exceptions into a bare ERROR, so what happened is said here."""
        try:
            action()
        except (ConfigError, EngineError, InvalidData, SourceError, OSError, ImportError) as error:
            self.log_error(f"cannot {name}: {error}")
            return TransitionCallbackReturn.FAILURE
        except Exception:
            self.get_logger().fatal(f"{name} failed:\n{traceback.format_exc()}")
            raise
        return TransitionCallbackReturn.SUCCESS

    def _configure(self) -> None:
        config = self.config
        models = load_hand_models(config.pipeline)
        with listening(Listener(self._reporter.building, self.context.ok)):
            self._pipeline = Pipeline(config.pipeline)
        check_images(self._pipeline, config)
        self._outputs = Outputs(self, config.publish, models, self._pipeline.inside, config.pipeline.tracking.max_gap)
        if config.publish.target_frame:
            self._target = TargetFrame(self, config.publish.target_frame)
        # Dotted names are what the model files say of themselves; /diagnostics shows them too.
        told = self._pipeline.describe().items()
        facts = ", ".join(f"{key}: {value}" for key, value in told if "." not in key)
        self.get_logger().info(f"ready; {facts}")

    def _activate(self) -> None:
        assert self._outputs is not None and self._pipeline is not None  # an active node has been configured
        self._outputs.latch("mano" if self.config.pipeline.mano_path else "bundled")
        self._worker.start()
        color_alone = not self._pipeline.needs_depth
        self._inputs = self._open_inputs(color_alone)
        if self.config.topics.hand_boxes:
            refused = partial(self._drop, INVALID_BOXES)
            self._boxes = BoxInput(self, self.config.topics.hand_boxes, self._suggest, refused)
        self.get_logger().info(f"listening to {', '.join(self._inputs.topics)}")

    def _suggest(self, boxes: Sequence[HandBox], stamp_ns: int) -> None:
        """Boxes are of the image as the camera gives it; the pipeline sees it without the lens."""
        if self._pipeline is not None:
            self._pipeline.suggest([self._make_frame.straight(box) for box in boxes], stamp_ns)

    def _open_inputs(self, color_alone: bool) -> Inputs | CameraInput:
        config = self.config
        if config.camera.source == "topics":
            return Inputs(self, config.topics, config.sync, self._on_frame, self._refuse, color_alone)
        return CameraInput(self, config.camera, config.topics, self._on_frame, self._failed)

    def _stop(self) -> None:
        if self._inputs is not None:
            self._inputs.close()
            for reason, count in self._inputs.drops.items():
                self.monitor.dropped(reason, count)
            self._inputs = None
        if self._boxes is not None:
            self._boxes.close()
            self._boxes = None
        self._worker.stop()
        if self._outputs is not None:
            with until_shutdown(self.context):
                self._outputs.tracked.nothing()
        self._seen = None
        if self._pipeline is not None:
            self._pipeline.reset()

    def _free(self) -> None:
        if self._target is not None:
            self._target.close()
            self._target = None
        if self._outputs is not None:
            self._outputs.close()
            self._outputs = None
        self._pipeline = None

    def _forget(self) -> str:
        """For `~/reset`: the worker forgets the followed hands before the next frame."""
        self._changes.append(lambda pipeline: pipeline.reset())
        return "the followed hands are forgotten"

    def _switch(self, on: bool) -> tuple[bool, str]:
        """For `~/enable`: activate or deactivate; without images to take in, an inactive node costs nothing."""
        wanted = "active" if on else "inactive"
        if self._outputs is None:
            return False, f"expected a configured node to make {wanted}, got an unconfigured one; configure it first"
        if on is (self._inputs is not None):
            return True, f"{wanted} already"
        result = self.trigger_activate() if on else self.trigger_deactivate()
        done = result == TransitionCallbackReturn.SUCCESS
        return done, wanted if done else f"not {wanted}; the node's log says why"

    def _snapshot(self) -> tuple[bool, str]:
        """For `~/snapshot`: the last frame, what was seen in it, and with what."""
        if self._seen is None:
            return False, "no frame has been processed since the node became active"
        about = {"node": self.get_fully_qualified_name(), "runs": self._facts(), "parameters": flatten(self.config)}
        try:
            from hand_pose_ros.sources.snapshot import write_snapshot  # a robot can do without rosbags

            return True, str(write_snapshot(Path(self.config.publish.snapshot_folder), *self._seen, about))
        except (ImportError, OSError) as error:
            return False, f"no snapshot in publish.snapshot_folder: {error}"

    def _on_frame(self, received: ReceivedFrame | CameraFrame) -> None:
        self.monitor.received()
        self._worker.submit(received)

    def _process(self, received: ReceivedFrame | CameraFrame) -> None:
        """One frame, in the worker's thread. Bad input is counted and said once; the next frame may be good."""
        pipeline, outputs = self._pipeline, self._outputs
        assert pipeline is not None and outputs is not None  # the worker only runs while the node is active
        while self._changes:
            self._changes.pop(0)(pipeline)
        try:
            decoding = time.monotonic()
            frame = received.decode(self._make_frame)
            decoded = time.monotonic()
            seen = pipeline.process(frame)
            self._seen = (frame, seen)
            scene = seen if self._target is None else self._target.move(seen)
        except (DecodeError, InvalidData) as error:
            self._drop(INVALID, error)
            return
        except ConfigError as error:  # a region of interest outside of this camera's image
            self._drop(INVALID_CONFIG, error)
            return
        except NoTransform as error:
            self._drop(NO_TRANSFORM, error)
            return
        with until_shutdown(self.context):
            publishing = time.monotonic()
            outputs.publish(frame, seen, scene)
            spent = {"decode": decoded - decoding, "publish": time.monotonic() - publishing}
            self._account(scene, received, spent)

    def _account(self, scene: Scene, received: ReceivedFrame | CameraFrame, spent_s: Mapping[str, float]) -> None:
        for reason, count in scene.dropped.items():
            self.monitor.dropped(f"hand: {reason}", count)
        latency = (self.get_clock().now().nanoseconds - scene.stamp_ns) * 1e-9
        stages = {**scene.timings_ms, **{stage: seconds * 1e3 for stage, seconds in spent_s.items()}}
        self.monitor.published(len(scene.hands), latency, time.monotonic() - received.arrived_s, stages)

    def _drop(self, reason: str, error: Exception) -> None:
        self._refuse(reason, str(error))

    def _refuse(self, reason: str, text: str) -> None:
        """Count what is thrown away, and say once what there is to mend."""
        self.monitor.dropped(reason)
        if text:
            self._complain(f"dropped ({reason}): {text}")

    def _failed(self, error: BaseException) -> None:
        """A bug or a broken engine: a node that lives on without a worker would look healthy, so it ends."""
        self.failure = error
        self.get_logger().fatal(f"the worker failed, the node ends:\n{''.join(traceback.format_exception(error))}")
        self.context.try_shutdown()

    def _on_set_parameters(self, parameters: Sequence[Parameter]) -> SetParametersResult:
        changed, result = changed_config(self.config, parameters, check_values)
        if changed.pipeline != self.config.pipeline:
            self._changes.append(lambda pipeline: pipeline.reconfigure(changed.pipeline))
        if self._outputs is not None:
            self._outputs.config = changed.publish
            self._outputs.tracked.patience_s = changed.pipeline.tracking.max_gap
        if isinstance(self._inputs, Inputs):
            self._inputs.reconfigure(changed.topics, changed.sync)
        if changed.publish.diagnostics_period != self.config.publish.diagnostics_period:
            self._timer.timer_period_ns = round(changed.publish.diagnostics_period * 1e9)
            self._timer.reset()  # or the period that has begun would be waited for
        self.config = changed
        return result

    def _on_jump(self, jump: TimeJump) -> None:
        """A bag loops or the clock is set: nothing from before belongs to what comes."""
        self.monitor.forget_latency()
        if self._inputs is not None:
            self._inputs.reset()
        self._changes.append(lambda pipeline: pipeline.reset())

    def _adapt(self) -> None:
        if self._inputs is not None:
            self._inputs.adapt()

    def _look(self) -> None:
        outputs = self._outputs
        if self._inputs is not None and outputs is not None:
            outputs.tracked.look(time.monotonic())

    def _report(self) -> None:
        self._reporter.report(self._inputs, self._facts())

    def _facts(self) -> Mapping[str, str]:
        return what_runs(self.config, self._pipeline, self._inputs)
