"""A user of the panel with a spine in front: chooses, clicks, waits, and measures what has become of it."""

from __future__ import annotations

from typing import Any

import numpy as np

from SAMSpineLib.labels import spine_labels
from SAMSpineLib.mrml.segments import read_segment
from SAMSpineLib.mrml.volumes import grid_of_node, node_from_volume
from SAMSpineLib.volume import Volume

SECONDS = 90.0


class Driver:
    """Acts through mouse, keys and buttons only; reads nodes and texts."""

    def __init__(self, host: Any, image: Volume, truth: np.ndarray) -> None:
        """Show an image, with the truth of it: a label map (K, J, I) of the label table's values on its grid."""
        self.host, self.image, self.truth = host, image, truth
        self.volume = self.load(image)

    def load(self, image: Volume) -> Any:
        """Put a volume into the scene, into the panel, and behind the views."""
        node = node_from_volume(self.host.scene, image)
        self.look_at(node)
        return node

    def look_at(self, volume: Any) -> None:
        """Choose a volume of the scene."""
        self.volume = volume
        self.host.choose(self.host.ui.volumeSelector, volume)
        self.host.show(volume)
        self.host.process()

    @property
    def panel(self) -> Any:
        return self.host.widget.panel

    @property
    def state(self) -> Any:
        return self.panel.parameterNode

    @property
    def segmentation(self) -> Any:
        return self.state.segmentation

    @property
    def names(self) -> list[str]:
        """Names of all segments."""
        if self.segmentation is None:
            return []
        segments = self.segmentation.GetSegmentation()
        return [segments.GetSegment(one).GetName() for one in segments.GetSegmentIDs()]

    def choose(self, name: str) -> None:
        """Add a segment by name, or select the one there is."""
        self.host.ui.manualSection.collapsed = False
        self.host.process()
        self.host.ui.newSegmentNameEdit.text = name
        self.host.press(self.host.ui.addSegmentButton)
        self.host.process()

    def settle(self, seconds: float = SECONDS) -> None:
        """Wait until the engine has answered everything and the panel shows it."""
        panel = self.panel
        self.host.wait_until(lambda: panel.connection is None or panel.connection.queue.is_idle, seconds)
        self.host.wait_until(lambda: not panel._isDirty, seconds)

    def place(self, name: str) -> tuple[float, float, float]:
        """Return a place deep inside a structure as the user sees it: in the world (RAS mm), in a voxel's centre."""
        from scipy import ndimage

        inside = np.pad(self.truth == spine_labels().by_name(name).value, 1)
        depth = ndimage.distance_transform_edt(inside)
        k, j, i = (int(n) - 1 for n in np.unravel_index(int(depth.argmax()), depth.shape))
        r, a, s = grid_of_node(self.volume).to_ras([i, j, k]).tolist()
        return (r, a, s)

    def voxels(self, name: str) -> np.ndarray:
        """Return a segment as bool (K, J, I); empty where there is none of that name."""
        if name not in self.names:
            return np.zeros(self.truth.shape, bool)
        segment_id = self.segmentation.GetSegmentation().GetSegmentIdBySegmentName(name)
        return read_segment(self.segmentation, segment_id, grid_of_node(self.volume)) != 0

    def dice(self, name: str, truth: str = "") -> float:
        """Return how well a segment agrees with the truth of its name, or of another one."""
        found, expected = self.voxels(name), self.truth == spine_labels().by_name(truth or name).value
        return float(2 * (found & expected).sum() / max(found.sum() + expected.sum(), 1))

    def click(self, name: str, *, view: str = "Red", key: str = "P") -> None:
        """Choose the tool and click deep inside a structure."""
        self.tool(key)
        self.host.click(view, self.place(name))

    def tool(self, key: str) -> None:
        """Press the key of a tool, unless it is in use."""
        wanted = {"P": "positivePoint", "N": "negativePoint", "X": "box", "D": "scribble", "L": "lasso"}[key]
        if self.state.mode != wanted:
            self.host.key(key)
        assert self.state.mode == wanted
