"""The node's own services, beside those of its lifecycle and parameters."""

from __future__ import annotations

from collections.abc import Callable

from rclpy.node import Node
from std_srvs.srv import SetBool, Trigger


def offer_services(
    node: Node,
    reset: Callable[[], str],
    enable: Callable[[bool], tuple[bool, str]],
    snapshot: Callable[[], tuple[bool, str]],
) -> None:
    """`~/reset`, `~/snapshot` (std_srvs/Trigger) and `~/enable` (std_srvs/SetBool), for as long as the node lives.

    Args:
        node: offers them.
        reset: forgets the followed hands; returns what to answer.
        enable: switches the node on or off; returns whether it is so now, and what to answer.
        snapshot: writes the last frame and its result; returns whether it did, and where or why not.
    """

    def on_reset(request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.success, response.message = True, reset()
        return response

    def on_enable(request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        response.success, response.message = enable(request.data)
        return response

    def on_snapshot(request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.success, response.message = snapshot()
        return response

    node.create_service(Trigger, "~/reset", on_reset)
    node.create_service(Trigger, "~/snapshot", on_snapshot)
    node.create_service(SetBool, "~/enable", on_enable)
