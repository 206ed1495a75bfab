# SPDX-License-Identifier: MIT
"""What does the virtual kernel answer when asked about its chip? What the chip's row of the database says; where the
row does not say (feature words and limits of most chips), zero."""

from hornito.hardware.chips import Chip
from hornito.uapi.etnaviv import SOFTPIN_START, Param

_LIMITS = {
    Param.GPU_STREAM_COUNT: "stream_count",
    Param.GPU_REGISTER_MAX: "register_max",
    Param.GPU_THREAD_COUNT: "thread_count",
    Param.GPU_VERTEX_CACHE_SIZE: "vertex_cache_size",
    Param.GPU_SHADER_CORE_COUNT: "shader_core_count",
    Param.GPU_PIXEL_PIPES: "pixel_pipes",
    Param.GPU_VERTEX_OUTPUT_BUFFER_SIZE: "vertex_output_buffer_size",
    Param.GPU_BUFFER_SIZE: "buffer_size",
    Param.GPU_INSTRUCTION_COUNT: "instruction_count",
    Param.GPU_NUM_CONSTANTS: "num_constants",
    Param.GPU_NUM_VARYINGS: "num_varyings",
}
_FEATURE_WORDS = [param for param in Param if param.name.startswith("GPU_FEATURES_")]


def parameters(chip: Chip) -> dict[int, int]:
    """The answer to each GET_PARAM of a core."""
    identity = chip.identity
    answers: dict[int, int] = {
        Param.GPU_MODEL: identity.model,
        Param.GPU_REVISION: identity.revision,
        Param.GPU_PRODUCT_ID: identity.product_id,
        Param.GPU_CUSTOMER_ID: identity.customer_id,
        Param.GPU_ECO_ID: identity.eco_id,
        Param.SOFTPIN_START_ADDR: SOFTPIN_START,
    }
    answers |= {param: chip.limits.get(name, 0) for param, name in _LIMITS.items()}
    words = (*chip.features, *([0] * len(_FEATURE_WORDS)))
    answers |= dict(zip(_FEATURE_WORDS, words, strict=False))
    return answers
