"""Keeps weights on the host, and on the NPU only while their network has its turn."""

from __future__ import annotations

import weakref
from typing import Any

__all__ = ["OffloadedWeights", "Turn"]


class Turn:
    """Knows whose weights are on the device: the network that was used last has them there."""

    def __init__(self) -> None:
        self._holder: weakref.ref[OffloadedWeights] | None = None

    def take(self, weights: OffloadedWeights) -> None:
        """Send the last holder's weights off the device and bring these there."""
        if self._holder is None or self._holder() is not weights:
            self.end()
            weights.arrive()
            self._holder = weakref.ref(weights)

    def end(self) -> None:
        """Send the last holder's weights off the device, for weights that take no turns."""
        holder = self._holder() if self._holder is not None else None
        if holder is not None:
            holder.leave()
        self._holder = None


class OffloadedWeights:
    """The parameters of one network, with a copy of each on the host.

    A network still computes while its weights are away: MindSpore then brings each weight to the
    device when an operator needs it.

    Args:
        network: A network of mindone. Its parameters leave the device.
        device: Where they are while the network has its turn: `ascend:0`, for example.
    """

    def __init__(self, network: Any, device: str) -> None:
        self._target = device.partition(":")[0].capitalize()
        self._host = [(p, p.move_to("CPU")) for p in network.get_parameters()]
        self.leave()

    def arrive(self) -> None:
        """Copy the weights to the device."""
        for parameter, host in self._host:
            parameter.set_data(host.move_to(self._target))

    def leave(self) -> None:
        """Use the copies on the host again, which frees the device's memory."""
        for parameter, host in self._host:
            parameter.set_data(host)
