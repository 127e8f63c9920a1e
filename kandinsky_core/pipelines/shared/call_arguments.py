"""What the arguments mean that most calls share; a pipeline's `prepare` says only what differs.

P is the number of prompts, E that of image embeddings, n that of pictures for each of them, and B
that of all pictures of a call. D is the width of an image embedding, h x w the size of a latent.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["ARGUMENTS", "ERRORS"]

ARGUMENTS: Mapping[str, str] = {
    "prompt": "One prompt or a list of P, or `Prompts` that have been checked before.",
    "negative_prompt": "What the picture shall not be: one text for all or one for each.",
    "image_embeds": "From the prior: [E, D], or a list of such.",
    "negative_image_embeds": "As `image_embeds`; needed when `guidance_scale` > 1.",
    "image": "A picture, a list with one for each prompt or embedding, or a batch (see "
    "`kandinsky_core.pictures.inputs`), resized to `height` and `width`.",
    "mask_image": "White where to repaint: a mask, a list, or a batch (see `as_masks` of the same "
    "module), resized likewise.",
    "hint": "What fixes the layout: a picture, a list, or a batch of floats from 0 to 1 (see "
    "`kandinsky_core.pictures.inputs`), resized to `height` and `width`.",
    "height": "Height in pixels, any; None takes the size that the model was trained at.",
    "width": "Width in pixels.",
    "strength": "How far `image` is noised, above 0 and up to 1: the share of the steps that are "
    "taken.",
    "num_inference_steps": "Steps of the whole loop.",
    "guidance_scale": "Weight of classifier-free guidance; off at 1 and below.",
    "num_images_per_prompt": "n pictures of each prompt or embedding; a call makes B in all.",
    "prior_num_inference_steps": "Steps of the prior.",
    "prior_guidance_scale": "Guidance of the prior; off at 1 and below.",
    "generator": "`Generator`, an int, or a list of B of them, one for each picture.",
    "seed": "Short for fresh generators: an int, or one for each picture.",
    "latents": "Initial noise [B, C, h, w]; drawn when None.",
    "output_type": "`pil`, `np` (float32 [B, height, width, 3] in [0, 1]), or `latent`.",
    "return_dict": "False returns a plain tuple.",
    "callback_on_step_end": "Called as `callback(pipe, step, timestep, values)`; what it returns "
    "replaces the values.",
    "callback_on_step_end_tensor_inputs": "Names of the values that the callback gets, among "
    "`callback_tensor_inputs` of the pipeline.",
    "prior_callback_on_step_end": "The same for the steps of the prior.",
    "prior_callback_on_step_end_tensor_inputs": "The same for the steps of the prior.",
    "paste_back": "Put the kept pixels into the finished picture exactly as they were.",
    "prompt_embeds": "States of the prompts [P, L, H], as `encode_prompt` gives them.",
    "negative_prompt_embeds": "States of the negative prompts.",
    "attention_mask": "Mask of `prompt_embeds` [P, L].",
    "negative_attention_mask": "Mask of `negative_prompt_embeds`.",
    "beautify": "Expands each prompt first: True takes neural-chat-7b-v3-1, a text another "
    "language model (hub id or folder), or a callable of a text; see "
    "`kandinsky_core.PromptBeautifier`, of which one is made once for many calls.",
    "decoder_negative_prompt": "For decoders that read texts (Kandinsky 2.1); the reference never "
    "passes one, which is the default.",
}
"""Argument of a call -> what it means, unless the call's own `prepare` says otherwise."""

ERRORS: Mapping[str, str] = {
    "InvalidInputError": "An argument is of the wrong kind, shape or range, or leaves nothing to "
    "do. `prepare` raises it, before anything heavy starts.",
    "NonFiniteError": "A network gave NaN or infinity. `run` raises it.",
}
"""What every call raises -> when."""
