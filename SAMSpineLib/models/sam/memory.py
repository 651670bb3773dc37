"""Through a stack with SAM 2's memory: slices are its frames (Ravi et al. 2024, section 4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from SAMSpineLib.models.protocols import Encoded, SliceMasks
from SAMSpineLib.models.sam.backbone import Candidates, Features, Pixels, SlicePrompts

if TYPE_CHECKING:
    from SAMSpineLib.models.sam.promptable import SamPromptable
    from SAMSpineLib.models.sam.sam2_backbone import Sam2Backbone

Output = dict[str, Any]


class SliceMemory:
    """Follow one structure with what is remembered of prompted slices and of the six before; see `Tracker`."""

    def __init__(self, model: SamPromptable, backbone: Sam2Backbone, count: int) -> None:
        """Remember slices of a stack of `count`."""
        self._model, self._backbone, self._count = model, backbone, count
        self._outputs: dict[str, dict[int, Output]] = {"cond_frame_outputs": {}, "non_cond_frame_outputs": {}}

    @torch.inference_mode()
    def learn(self, index: int, encoded: Encoded, masks: SliceMasks, chosen: int) -> None:
        """Remember a prompted slice: by its prompts, or, where the user chose or gave a mask, by that mask."""
        maps = _Maps(self._backbone, self._model.features_of(encoded))
        asked = masks.asked if isinstance(masks.asked, SlicePrompts) else SlicePrompts()
        points = self._backbone.prompt_points(asked)
        given: dict[str, Any] = {"is_init_cond_frame": True, "run_mem_encoder": False}
        if chosen == 0 and points is not None:
            given["point_inputs"] = {"point_coords": points[0], "point_labels": points[1]}
            given["prev_sam_mask_logits"] = _batch(asked.mask, self._backbone)
        else:
            logits = _batch(masks.logits[chosen].astype(np.float32), self._backbone)
            given["mask_inputs"] = (self._enlarged(logits) > 0).float()
        output = self._step(index, maps, **given)
        features, positions = self._backbone.network._encode_new_memory(
            current_vision_feats=maps.flat, feat_sizes=maps.sizes, is_mask_from_pts=True,
            pred_masks_high_res=self._enlarged(output["pred_masks"]), object_score_logits=output["object_score_logits"],
        )  # fmt: skip
        self._keep("cond_frame_outputs", index, output | {"maskmem_features": features, "maskmem_pos_enc": positions})

    @torch.inference_mode()
    def follow(self, index: int, encoded: Encoded, *, backwards: bool) -> SliceMasks | None:
        """Return the mask of a slice, or None where SAM 2 says that the structure is not there."""
        maps = _Maps(self._backbone, self._model.features_of(encoded))
        output = self._step(index, maps, is_init_cond_frame=False, track_in_reverse=backwards)
        self._keep("non_cond_frame_outputs", index, output)
        logits: Tensor = output["pred_masks"][0]
        if not bool((logits > 0).any()):
            return None
        score = torch.sigmoid(output["object_score_logits"][0])
        return self._model.placed(encoded, Candidates(logits.float().cpu().numpy(), score.float().cpu().numpy()))

    def _step(self, index: int, maps: _Maps, **given: Any) -> Output:
        """Run SAM 2 on a slice, with what is given of the arguments of `SAM2Base.track_step`."""
        usual = {"point_inputs": None, "mask_inputs": None, "num_frames": self._count, "output_dict": self._outputs}
        output: Output = self._backbone.network.track_step(
            frame_idx=index, current_vision_feats=maps.flat, current_vision_pos_embeds=maps.positions,
            feat_sizes=maps.sizes, **(usual | given),
        )  # fmt: skip
        return output

    def _keep(self, kind: str, index: int, output: Output) -> None:
        """Remember a slice in the precision that SAM 2's own predictor remembers it in, and nothing that is large."""
        kept = ("maskmem_pos_enc", "obj_ptr")
        features = output["maskmem_features"].to(torch.bfloat16)
        self._outputs[kind][index] = {name: output[name] for name in kept} | {"maskmem_features": features}

    def _enlarged(self, logits: Tensor) -> Tensor:
        side = self._backbone.image_size
        return F.interpolate(logits, size=(side, side), mode="bilinear", align_corners=False)


class _Maps:
    """The maps of a slice as SAM 2 hands them on: (H*W, 1, C) each, their positions likewise, and sizes (H, W)."""

    def __init__(self, backbone: Sam2Backbone, features: Features) -> None:
        network, maps = backbone.network, [one.float() for one in features.maps]
        # SAM 2 looks at the places on the coarsest map only; of the others it takes no more than the size.
        positions = [*maps[:-1], network.image_encoder.neck.position_encoding(maps[-1])]
        prepared = network._prepare_backbone_features({"backbone_fpn": maps, "vision_pos_enc": positions})
        self.flat: list[Tensor] = prepared[1]
        self.positions: list[Tensor] = prepared[2]
        self.sizes: list[tuple[int, int]] = prepared[3]


def _batch(logits: Pixels | None, backbone: Sam2Backbone) -> Any:
    return None if logits is None else torch.from_numpy(logits).to(backbone.device)[None, None]
