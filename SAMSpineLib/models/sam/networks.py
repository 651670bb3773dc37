"""Build SAM and SAM 2 of any size from the modules of the packages `segment-anything` and `sam2`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from torch import nn

from SAMSpineLib.errors import MissingExtraError
from SAMSpineLib.models.sam.config import Sam2Config, SamConfig

if TYPE_CHECKING:
    from sam2.modeling.sam2_base import SAM2Base
    from segment_anything.modeling import Sam

# ImageNet's, which both were trained with, on a scale of 0..255.
PIXEL_MEAN = (123.675, 116.28, 103.53)
PIXEL_STD = (58.395, 57.12, 57.375)
PATCH = 16


def build_sam(config: SamConfig) -> Sam:
    """Return a SAM with weights at random, in evaluation mode; its state dict has Meta's names.

    Raises:
        MissingExtraError: if `segment-anything` is not installed.
    """
    try:
        from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer
    except ImportError as error:
        package = "segment-anything"
        raise MissingExtraError(package, "sam") from error
    side = config.image_size // PATCH
    encoder = ImageEncoderViT(
        img_size=config.image_size, patch_size=PATCH, embed_dim=config.width, depth=config.depth,
        num_heads=config.heads, mlp_ratio=4, norm_layer=partial(nn.LayerNorm, eps=1e-6), qkv_bias=True,
        use_rel_pos=True, global_attn_indexes=config.global_blocks, window_size=config.window,
        out_chans=config.channels,
    )  # fmt: skip
    prompts = PromptEncoder(
        embed_dim=config.channels, image_embedding_size=(side, side), mask_in_chans=16,
        input_image_size=(config.image_size, config.image_size),
    )  # fmt: skip
    transformer = TwoWayTransformer(
        depth=2, embedding_dim=config.channels, mlp_dim=config.decoder_hidden, num_heads=config.decoder_heads
    )
    decoder = MaskDecoder(
        num_multimask_outputs=3, transformer=transformer, transformer_dim=config.channels, iou_head_depth=3,
        iou_head_hidden_dim=config.score_hidden,
    )  # fmt: skip
    return Sam(encoder, prompts, decoder, list(PIXEL_MEAN), list(PIXEL_STD)).eval()


def build_sam2(config: Sam2Config, kind: type[nn.Module] | None = None) -> SAM2Base:
    """Return a SAM 2 with weights at random, in evaluation mode; its state dict has Meta's names.

    Args:
        config: its shape; a network that remembers nothing has no memory.
        kind: a class with the arguments of `SAM2Base`, which is the default.

    Raises:
        MissingExtraError: if `sam2` is not installed.
    """
    try:
        from sam2.modeling.sam2_base import SAM2Base
    except ImportError as error:
        package = "sam2"
        raise MissingExtraError(package, "sam") from error
    network = (kind or SAM2Base)(
        image_encoder=_hiera(config),
        memory_attention=_memory_attention(config),
        memory_encoder=_memory_encoder(config),
        image_size=config.image_size,
        **_behaviour(newer=config.newer),
    )
    if not config.remembers:
        del network.memory_attention, network.memory_encoder
    return network.eval()


def _behaviour(*, newer: bool) -> dict[str, Any]:
    """Return how all sizes were trained and are used: `sam2/configs`, and what `build_sam2` adds for inference."""
    behaviour: dict[str, Any] = {
        "num_maskmem": 7,
        "sigmoid_scale_for_mem_enc": 20.0,
        "sigmoid_bias_for_mem_enc": -10.0,
        "use_mask_input_as_output_without_sam": True,
        "directly_add_no_mem_embed": True,
        "use_high_res_features_in_sam": True,
        "multimask_output_in_sam": True,
        "iou_prediction_use_sigmoid": True,
        "use_obj_ptrs_in_encoder": True,
        "add_tpos_enc_to_obj_ptrs": newer,
        "only_obj_ptrs_in_the_past_for_eval": True,
        "pred_obj_scores": True,
        "pred_obj_scores_mlp": True,
        "fixed_no_obj_ptr": True,
        "multimask_output_for_tracking": True,
        "use_multimask_token_for_obj_ptr": True,
        "multimask_min_pt_num": 0,
        "multimask_max_pt_num": 1,
        "use_mlp_for_obj_ptr_proj": True,
        "binarize_mask_from_pts_for_mem_enc": True,
        "sam_mask_decoder_extra_args": {
            "dynamic_multimask_via_stability": True,
            "dynamic_multimask_stability_delta": 0.05,
            "dynamic_multimask_stability_thresh": 0.98,
        },
    }
    if newer:
        behaviour |= dict.fromkeys(
            ("no_obj_embed_spatial", "proj_tpos_enc_in_obj_ptrs", "use_signed_tpos_enc_to_obj_ptrs"), True
        )
    return behaviour


def _hiera(config: Sam2Config) -> Any:
    from sam2.modeling.backbones.hieradet import Hiera
    from sam2.modeling.backbones.image_encoder import FpnNeck, ImageEncoder
    from sam2.modeling.position_encoding import PositionEmbeddingSine

    trunk = Hiera(
        embed_dim=config.width, num_heads=config.heads, stages=config.stages, window_spec=config.windows,
        global_att_blocks=config.global_blocks, window_pos_embed_bkg_spatial_size=(config.background,) * 2,
    )  # fmt: skip
    neck = FpnNeck(
        position_encoding=PositionEmbeddingSine(num_pos_feats=config.channels), d_model=config.channels,
        backbone_channel_list=[config.width * times for times in (8, 4, 2, 1)], fpn_top_down_levels=[2, 3],
        fpn_interp_model="nearest",
    )  # fmt: skip
    return ImageEncoder(trunk=trunk, neck=neck, scalp=1)


def _memory_attention(config: Sam2Config) -> Any:
    from sam2.modeling.memory_attention import MemoryAttention, MemoryAttentionLayer
    from sam2.modeling.sam.transformer import RoPEAttention

    side = config.image_size // PATCH
    attention = partial(
        RoPEAttention, rope_theta=10000.0, feat_sizes=[side, side], embedding_dim=config.channels, num_heads=1,
        downsample_rate=1, dropout=0.1,
    )  # fmt: skip
    layer = MemoryAttentionLayer(
        activation="relu", cross_attention=attention(rope_k_repeat=True, kv_in_dim=config.memory_channels),
        d_model=config.channels, dim_feedforward=config.memory_hidden, dropout=0.1, pos_enc_at_attn=False,
        pos_enc_at_cross_attn_keys=True, pos_enc_at_cross_attn_queries=False, self_attention=attention(),
    )  # fmt: skip
    return MemoryAttention(d_model=config.channels, pos_enc_at_input=True, layer=layer, num_layers=config.memory_layers)


def _memory_encoder(config: Sam2Config) -> Any:
    from sam2.modeling.memory_encoder import CXBlock, Fuser, MaskDownSampler, MemoryEncoder
    from sam2.modeling.position_encoding import PositionEmbeddingSine

    return MemoryEncoder(
        out_dim=config.memory_channels, in_dim=config.channels,
        position_encoding=PositionEmbeddingSine(num_pos_feats=config.memory_channels),
        mask_downsampler=MaskDownSampler(embed_dim=config.channels, kernel_size=3, stride=2, padding=1),
        fuser=Fuser(CXBlock(dim=config.channels, kernel_size=7, padding=3), num_layers=2),
    )  # fmt: skip
